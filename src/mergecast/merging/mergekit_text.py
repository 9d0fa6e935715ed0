"""Writing a recipe as a file of mergekit, where it has one that means the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from mergecast.errors import UsageError
from mergecast.merging.mergekit_forms import FORMS, REQUIRED
from mergecast.merging.recipe import STRENGTH, Recipe


def mergekit_text(
    recipe: Recipe, base: str, models: Mapping[str, str], dtype: str = "float32"
) -> str:
    """A recipe as mergekit's YAML.

    Parameters
    ----------
    recipe : Recipe
        Method, parameters and weights.
    base : str
        Path or hub name of the base.
    models : mapping of str to str
        Label to the path or hub name of every model.
    dtype : str
        What mergekit is to write.

    Raises
    ------
    UsageError
        mergekit has no method, or no parameter, that means the same.

    Examples
    --------
    >>> print(mergekit_text(Recipe("weight_avg"), "base", {"a": "models/a", "b": "models/b"}))
    merge_method: linear
    models:
    - model: models/a
      parameters:
        weight: 1.0
    - model: models/b
      parameters:
        weight: 1.0
    parameters:
      normalize: true
    dtype: float32
    <BLANKLINE>
    """
    if recipe.by_parameter:
        raise UsageError(f"recipe {recipe}", "has values by parameter", "write its file by hand")
    weights = {label: float(recipe.weights.get(label, 1.0)) for label in models}
    content: dict[str, Any]
    if recipe.method == "weight_avg":
        content = {"merge_method": "linear", "models": _models(models, {"weight": weights})}
        content["parameters"] = {"normalize": True}
    else:
        content = _written(recipe, base, models, weights)
    content["dtype"] = dtype
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _written(
    recipe: Recipe, base: str, models: Mapping[str, str], weights: Mapping[str, float]
) -> dict[str, Any]:
    names = [name for name, form in FORMS.items() if form.method == recipe.method]
    if recipe.method not in names:
        raise UsageError(
            f"recipe {recipe}",
            "cannot be written for mergekit, which has no method that means the same",
            "merge it here",
        )
    form, params = FORMS[recipe.method], dict(recipe.params)
    if form.most is not None and len(models) > form.most:
        raise UsageError(
            f"recipe {recipe}", f"mergekit merges {form.most} models at most by it", "merge it here"
        )
    if "weight" not in form.own and any(weight != 1 for weight in weights.values()):
        raise UsageError(
            f"recipe {recipe}",
            "cannot be written for mergekit, which weighs all models alike by it",
            "merge it here",
        )
    with_base = form.base == "needed"
    if form.base == "optional":
        with_base = params.pop("origin") == "base"
    shared: dict[str, Any] = {}
    own: dict[str, Mapping[str, Any]] = {}
    for key, default in form.shared.items():
        if key == "lambda":
            shared[key] = params.pop(STRENGTH)
        elif key == "rescale":
            shared[key] = _rescale(recipe, params.pop("rescale"))
        elif key == "filter_wise":
            if params["per"] in ("row", "tensor"):
                shared[key] = params.pop("per") == "row"
        elif key == "nuslerp_flatten":
            shared[key] = params["per"] == "tensor"
        elif key == "nuslerp_row_wise":
            shared[key] = params.pop("per") == "column"
        elif key in params:
            shared[key] = params.pop(key)
        elif default is not REQUIRED:
            shared[key] = default
    for key in form.own:
        if key == "weight":
            own[key] = weights
        elif key == "density" and "drop_rate" in params:
            dropped = params.pop("drop_rate")
            own[key] = _each(models, dropped, lambda value: 1 - value)
        elif key in params:
            own[key] = _each(models, params.pop(key), float)
    # What no file says is as our reader of mergekit's files fills it in.
    usual = recipe.merging_method.defaults
    params = {key: value for key, value in params.items() if value != usual[key]}
    if params:
        raise UsageError(
            f"recipe {recipe}",
            f"cannot be written for mergekit, which has nothing for {', '.join(sorted(params))}",
            "merge it here",
        )
    content: dict[str, Any] = {"merge_method": recipe.method}
    if with_base:
        content["base_model"] = base
    content["models"] = _models(models, own)
    if shared:
        content["parameters"] = shared
    return content


def _rescale(recipe: Recipe, given: object) -> bool:
    """mergekit's flag for our word: it rescales to the norm before, or not at all."""
    if given not in ("l1", False):
        raise UsageError(
            f"recipe {recipe}",
            "cannot be written for mergekit, which rescales by the L1 norm alone",
            "merge it here, or take rescale=l1",
        )
    return given == "l1"


def _each(models: Mapping[str, str], value: Any, change: Any) -> dict[str, Any]:
    """A parameter of every model, whether it is one number or a number each."""
    given = value if isinstance(value, Mapping) else dict.fromkeys(models, value)
    return {label: round(float(change(given[label])), 12) for label in models}


def _models(
    models: Mapping[str, str], own: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    return [
        {"model": path, "parameters": {key: values[label] for key, values in own.items()}}
        if own
        else {"model": path}
        for label, path in models.items()
    ]
