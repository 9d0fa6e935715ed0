"""Recipes written for mergekit mean what they meant."""

from __future__ import annotations

import pytest
import yaml

import mergecast as mc
from mergecast.errors import UsageError
from mergecast.merging import Recipe, read_mergekit
from mergecast.merging.mergekit_text import mergekit_text
from mergecast.testing.tiny import tiny_family

RECIPES = [
    "task_arithmetic",
    "task_arithmetic(scaling=0.7, weights={a: 2, b: 1})",
    "ties",
    "ties(density=0.5, scaling=1)",
    "ties(weights={a: 0.882, b: 1.13})",
    "dare_ties(rescale=l1)",
    "dare_linear(rescale=l1)",
    "della(rescale=l1)",
    "breadcrumbs",
    "model_stock",
    "linear(weights={a: 3, b: 1})",
    "multislerp",
    "sce",
    "nuslerp",
    "karcher",
]


def written(recipe, family, folder):
    models = {label: str(family.models[label].path) for label in "ab"}
    file = folder / "merge.yml"
    file.write_text(mergekit_text(recipe, str(family.base.path), models))
    return file


@pytest.mark.parametrize("text", RECIPES)
def test_a_written_file_is_read_as_the_same_recipe(text, tmp_path):
    family, recipe = tiny_family(tmp_path, "ab"), Recipe.of(text)
    asked = read_mergekit(written(recipe, family, tmp_path))
    weights = dict(recipe.weights) or dict.fromkeys(asked.recipe.weights, 1.0)
    assert asked.recipe.params == recipe.params
    assert asked.recipe.method == recipe.method
    assert dict(asked.recipe.weights) == weights
    assert [*asked.models.values()] == [family.models[label].path for label in "ab"]


def test_an_average_is_mergekit_s_linear(tmp_path):
    family = tiny_family(tmp_path, "ab")
    asked = read_mergekit(written(Recipe("weight_avg"), family, tmp_path))
    assert asked.recipe.method == "linear"
    ours, theirs = mc.merge(family, "weight_avg"), mc.merge(family, asked.recipe)
    for name, value in ours.items():
        assert (value - theirs[name]).abs().max() < 1e-6


@pytest.mark.parametrize(
    "text",
    [
        "tsv",
        "isotropic",
        "dare",
        "dare_ties",
        "della",
        "ties(sign=count)",
        "model_stock(per=filter)",
        "karcher(weights={a: 3, b: 1})",
    ],
)
def test_what_mergekit_has_not_is_said(text):
    with pytest.raises(UsageError, match="mergekit"):
        mergekit_text(Recipe.of(text), "base", {"a": "a", "b": "b"})


def test_more_models_than_mergekit_merges():
    with pytest.raises(UsageError, match="2 models at most"):
        mergekit_text(Recipe("nuslerp"), "base", {"a": "a", "b": "b", "c": "c"})


def test_names_are_data():
    text = mergekit_text(Recipe("weight_avg"), "base", {"a": "x: [y\n", "b": "ü"})
    assert [one["model"] for one in yaml.safe_load(text)["models"]] == ["x: [y\n", "ü"]
