"""One type for what a merge is: read, validated, hashed, printed, and what it refuses."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import mergecast as mc
from mergecast.cli.main import run
from mergecast.errors import UsageError
from mergecast.merging import METHODS, Recipe
from mergecast.merging.mergekit_text import mergekit_text
from mergecast.suites.merges import asked_recipes

LABELS = ("a", "model-3", "ü", "3", "a, b: {c}", 'say "x" (1)')
SHARES = st.floats(0.01, 1) | st.dictionaries(
    st.sampled_from(LABELS), st.floats(0.01, 1), min_size=1
)


@st.composite
def recipes(draw):
    """Recipes of any weights and seed; of ties with parameters of every kind."""
    method = draw(st.sampled_from([one.name for one in METHODS]))
    params = {}
    if method == "ties":
        params = {
            "density": draw(SHARES),
            "scaling": draw(st.floats(-9, 9)),
            "sign": draw(st.sampled_from(["mass", "count"])),
            "normalize": draw(st.booleans()),
        }
    weights = {}
    if METHODS.get(method).weights != "none":
        weights = draw(st.dictionaries(st.sampled_from(LABELS), st.floats(0.01, 9)))
    return Recipe(method, params, weights, draw(st.integers(0, 99)))


@settings(max_examples=60, deadline=None)
@given(recipes())
def test_a_recipe_comes_back_from_json_yaml_and_another_process(recipe):
    plain = recipe.as_mapping()
    for again in (
        Recipe.of(json.loads(json.dumps(plain))),
        Recipe.of(yaml.safe_load(yaml.safe_dump(plain, allow_unicode=True))),
        pickle.loads(pickle.dumps(recipe)),
        Recipe.of(recipe),
    ):
        assert again == recipe
        assert (again.key, hash(again), str(again)) == (recipe.key, hash(recipe), str(recipe))


@settings(max_examples=60, deadline=None)
@given(recipes())
def test_a_recipe_comes_back_from_its_text(recipe):
    alike = replace(recipe, weights={} if {*recipe.weights.values()} == {1} else recipe.weights)
    assert replace(Recipe.of(recipe.label), seed=recipe.seed) == alike
    assert Recipe.of(recipe.label).label == recipe.label
    drawn = recipe.seed if recipe.merging_method.random else 0
    assert Recipe.of(str(recipe)) == replace(recipe, seed=drawn)


def test_minus_zero_is_zero():
    recipe, zero = (Recipe("ties", {"scaling": value}) for value in (-0.0, 0.0))
    assert (recipe.label, recipe.key, str(recipe)) == (zero.label, zero.key, str(zero))


def test_its_label_is_what_differs_from_the_defaults():
    assert Recipe("ties", seed=3).label == "ties"
    assert Recipe.of("ties( scaling=1,density=.5 )").label == "ties(density=0.5, scaling=1)"
    assert Recipe.of("ties(density=0.2, scaling=3e-1)").label == "ties"
    assert Recipe("ties", weights={"a": 1, "b": 1}).label == "ties"
    told = Recipe.of("ties(weights={b: 2, a: .5}, density={c: 0.5, a: .1}, normalize=false)")
    assert told.label == ("ties(density={a: 0.1, c: 0.5}, normalize=false, weights={a: 0.5, b: 2})")
    assert told.models == ("a", "b", "c")
    assert Recipe("breadcrumbs", {"gamma": 1e-5}).label == "breadcrumbs(gamma=1e-05)"


def test_it_is_printed_with_its_numbers_and_what_is_unusual():
    assert str(Recipe("ties")) == "ties(density=0.2, scaling=0.3)"
    assert str(Recipe("weight_avg")) == "weight_avg"
    told = Recipe("ties", {"density": {"b": 0.5, "a": 0.1}, "sign": "count"}, {"b": 2, "a": 1})
    assert (
        str(told) == "ties(density={a: 0.1, b: 0.5}, scaling=0.3, sign=count, weights={a: 1, b: 2})"
    )
    assert str(Recipe("dare", seed=3)) == "dare(drop_rate=0.9, scaling=1, seed=3)"
    assert str(Recipe("ties", seed=3)) == str(Recipe("ties"))


def test_its_key_is_all_that_the_result_depends_on():
    key = Recipe("ties").key
    assert key == Recipe.of({"method": "ties", "params": {"density": 0.2}, "scaling": 0.3}).key
    assert key == Recipe("ties", seed=7).key  # which draws nothing
    assert key == Recipe("ties", weights={"a": 1, "b": 1}).key
    others = [Recipe("ties", {"density": 0.3}), Recipe("ties", weights={"a": 2, "b": 1})]
    others += [Recipe("dare"), Recipe("dare", seed=7), Recipe("task_arithmetic")]
    assert len({key, *(other.key for other in others)}) == 6


def test_numpy_s_numbers_are_numbers():
    given = Recipe("dare", {"drop_rate": np.float32(0.5)}, {"a": np.float32(2)}, np.int64(3))
    assert given == Recipe("dare", {"drop_rate": 0.5}, {"a": 2}, 3)
    assert given.key == Recipe.of(json.loads(json.dumps(given.as_mapping()))).key


def test_strength_is_the_parameter_scaling():
    recipe = Recipe("ties", {"density": 0.5})
    assert recipe.at(0.7) == Recipe.of("ties", {"density": 0.5}, scaling=0.7)
    assert recipe.at(0.7).strength == 0.7
    assert Recipe("weight_avg").strength is None
    with pytest.raises(UsageError, match="parameter of weight_avg 'scaling': unknown"):
        Recipe("weight_avg").at(0.5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "ties", "weight": {}}, "key of a recipe 'weight': unknown; did you mean"),
        ({"params": {}}, "recipe: names no method; known: "),
        ({"method": "ties", "params": 3}, "params of a recipe: are 3; give names with values"),
        ({"method": "ties", "scaling": 10}, "parameter 'scaling' of ties: is 10; Input should be"),
        (
            {"method": "ties", "scaling": 1, "params": {"scaling": 1}},
            "scaling: given twice; give it once",
        ),
        ({"method": "tsv", "weights": {"a": 1}}, "weights of tsv: given, but it takes none; leave"),
        ({"method": "ties", "weights": {"a": 0, "b": 0}}, "weights: are all 0; give one model"),
        (
            {"method": "ties", "weights": {"a": -1, "b": 2}},
            "weight of model 'a': is -1, and ties takes none below zero; give 0 or more",
        ),
        ({"method": "ties", "weights": {"a": "x"}}, "weight of model 'a': is 'x'; give a number"),
        ({"method": "ties", "weights": {"a": float("nan")}}, "weight of model 'a': is nan"),
        ({"method": "ties", "params": {"density": 0}}, "'density' of ties: is 0; Input should be"),
        (
            {"method": "ties", "params": {"density": {"a": 0}}},
            "parameter 'density' of ties for 'a': is 0; Input should be greater than 0",
        ),
        ({"method": "ties", "params": {"density": {}}}, "'density' of ties: names no model"),
        ({"method": "ties", "params": {"scaling": {"a": 1}}}, "'scaling' of ties: is {'a': 1}"),
        (
            {"method": "dare", "params": {"rescale": "l2"}},
            "parameter 'rescale' of dare: is 'l2'; give true, false, l1",
        ),
        ({"method": "dare", "seed": -1}, "seed: is -1; give a whole number, 0 or more"),
        ({"method": "dare", "seed": float("inf")}, "seed: is inf; give a whole number"),
        ({"method": "dare", "seed": 0.5}, "seed: is 0.5; give a whole number"),
        (3, "recipe: is 3; give a method's name, or a mapping"),
        (
            "ties(density)",
            "recipe 'ties(density)': cannot be read from 'density' on; write METHOD(",
        ),
        ("ties(density=.5", "recipe 'ties(density=.5': cannot be read from"),
        ("ties(density=.5)x", "cannot be read"),
        ("ties(weights={a: 1, a: 2})", "names a model twice in {a: 1, a: 2}; give it once"),
        ("ties(density=1, density=2)", "names 'density' twice; give it once"),
        ("ties(scalling=1)", "parameter of ties 'scalling': unknown; did you mean"),
        ("tys(scaling=1)", "merging method 'tys': unknown; did you mean"),
        ("ties(scaling=much)", "parameter 'scaling' of ties: is 'much'"),
    ],
)
def test_what_a_recipe_cannot_be_is_named(given, said):
    with pytest.raises(UsageError) as error:
        Recipe.of(given)
    assert said in str(error.value)


@pytest.fixture
def family(family_paths):
    return mc.Family.open(*family_paths)


def test_weights_and_values_are_of_the_models_that_are_merged(family):
    for asked, said in [
        ({"weights": {"a": 1, "b": 1, "z": 1}}, "weight of model 'z': unknown; known: a, b, c"),
        ({"weights": {"a": 1, "b": 1}}, "weight of model 'c': not given; give one for every"),
        ({"params": {"density": {"a": 0.5}}}, "density of model 'b': not given"),
        ({"params": {"density": {"d": 0.5}}}, "density of model 'd': unknown"),
    ]:
        with pytest.raises(UsageError, match=said):
            mc.merge(family, "ties", **asked)
    with pytest.raises(UsageError, match="weights: given beside a whole recipe; put it into"):
        mc.merge(family, Recipe("ties"), weights={"a": 1, "b": 1, "c": 1})


def test_weights_that_add_up_to_nothing_have_no_mean(family):
    with pytest.raises(UsageError, match=r"weights: add up to 0 \(a=1.0, b=-1.0, c=0.0\); give"):
        mc.merge(family, "linear", weights={"a": 1, "b": -1, "c": 0})


def test_a_whole_recipe_is_merged_as_its_parts_are(family):
    weights = {"a": 0.5, "b": 0.3, "c": 0.4}
    parts = mc.merge(family, "task_arithmetic", scaling=0.7, weights=weights)
    whole = mc.merge(
        family, {"method": "task_arithmetic", "weights": weights, "params": {"scaling": 0.7}}
    )
    base = {name: family.base.array(name) for name in family.shared}
    for name in family.shared:
        deltas = {label: model.array(name) - base[name] for label, model in family.models.items()}
        expected = base[name] + 0.7 * sum(weights[label] * deltas[label] for label in weights)
        np.testing.assert_array_equal(parts[name].numpy(), whole[name].numpy())
        np.testing.assert_allclose(whole[name].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_command_line_says_the_same(family_paths, tmp_path, capsys):
    base, models = family_paths
    given = ["--method", "ties", "--scaling", "0.4", "--weights", "a=.6, b=.4, c=1"]
    given += ["--param", "density={a: 0.3, b: 0.5, c: 1}", "-o", str(tmp_path / "out")]
    assert run(["merge", str(base), *map(str, models), *given]) == 0
    recipe = Recipe.of(
        "ties",
        {"density": {"a": 0.3, "b": 0.5, "c": 1}},
        scaling=0.4,
        weights={"a": 0.6, "b": 0.4, "c": 1},
    )
    assert f"a+b+c by {recipe} → " in capsys.readouterr().out
    record = json.loads((tmp_path / "out/mergecast.json").read_text())
    assert Recipe.of({key: record[key] for key in recipe.as_mapping()}) == recipe
    written = mc.Checkpoint.open(tmp_path / "out")
    for name, tensor in mc.merge(mc.Family.open(base, models), recipe).items():
        np.testing.assert_array_equal(written.array(name), tensor.numpy())
    for bad in ("a", "a=1,a=2", "=1"):
        assert run(["merge", str(base), str(models[0]), *given[:4], "--weights", bad]) == 2


def by_parameter():
    """A recipe whose second parameter is merged twice as strongly, its third as the rest."""
    strong = Recipe("ties", {"scaling": 0.6}, {"a": 1, "b": 3})
    return Recipe("ties", {"scaling": 0.3}, {"a": 1, "b": 1}, by_parameter={"layer.1": strong})


def test_values_by_parameter_survive_json_and_pickling_and_tell_recipes_apart():
    recipe = by_parameter()
    plain = Recipe("ties", {"scaling": 0.3}, {"a": 1, "b": 1})
    assert Recipe.of(json.loads(json.dumps(recipe.as_mapping()))) == recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert recipe.key != plain.key
    assert hash(recipe) != hash(plain)
    assert recipe.of_parameter("layer.1").strength == 0.6
    assert recipe.of_parameter("layer.2") is recipe
    assert "by_parameter=1 of them" in str(recipe)
    assert "by_parameter" not in plain.as_mapping()


def test_values_by_parameter_are_checked_like_all_others():
    recipe = by_parameter()
    with pytest.raises(UsageError, match="weight of model 'c': not given"):
        recipe.check(["a", "b", "c"])
    with pytest.raises(UsageError, match="scaling: cannot be changed: it is given by parameter"):
        recipe.at(0.5)
    for other in (Recipe("dare"), Recipe("ties", seed=1), recipe):
        with pytest.raises(UsageError, match="recipe of parameter 'w': is .*; give the same"):
            Recipe("ties", by_parameter={"w": other})
    with pytest.raises(UsageError, match="has values by parameter"):
        mergekit_text(recipe, "base", {"a": "a", "b": "b"})


def test_other_values_by_parameter_are_another_recipe_everywhere():
    one, two = (
        Recipe("ties", by_parameter={name: Recipe("ties", {"scaling": 1})}) for name in ("x", "y")
    )
    assert one.label != two.label
    assert asked_recipes(None, [one, two], None, 0) == [one, two]


@pytest.mark.parametrize("group", [3, {"params": {"scaling": 1}}])
def test_a_group_of_parameters_that_is_none_is_named(group):
    with pytest.raises(UsageError, match="by_parameter of a recipe: holds"):
        Recipe.of({"method": "ties", "by_parameter": [group]})


def test_a_group_of_parameters_needs_no_more_than_its_names():
    found = Recipe.of({"method": "ties", "by_parameter": [{"parameters": ["x"]}]})
    assert found.of_parameter("x").params == found.params
