"""Merges that files of mergekit describe, read as recipes of ours."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mergecast.checkpoints import dtypes
from mergecast.errors import UsageError
from mergecast.family.labels import labelled
from mergecast.merging.mergekit_forms import FORMS, REQUIRED, Form
from mergecast.merging.recipe import Recipe

log = logging.getLogger(__name__)
#: Keys of a file that are read.
_READ = ("merge_method", "models", "base_model", "parameters", "dtype", "out_dtype", "name")
#: Those that are not, with what to do instead.
_REMEDIES = {
    "slices": "list whole models under 'models': that form is supported",
    "modules": "list whole models under 'models': that form is supported",
    "tokenizer_source": "leave it out: the output has the base's tokenizer",
    "tokenizer": "leave it out: the output has the base's tokenizer",
    "chat_template": "leave it out, and put it into the output's tokenizer_config.json",
}
_NUMBERS = "give a number; values by layer or by filter are not supported"


@dataclass(frozen=True)
class MergekitMerge:
    """What a mergekit file describes.

    Attributes
    ----------
    base : Path
        What task vectors are taken from; the first model where the file's method takes none.
    models : mapping of str to Path
        Label to the place of every model that is merged.
    recipe : Recipe
        Method, parameters and weights.
    dtype : str or None
        The dtype that the file wants to be written; None for the base's.
    """

    base: Path
    models: Mapping[str, Path]
    recipe: Recipe
    dtype: str | None


def read_mergekit(path: str | Path, *, seed: int = 0) -> MergekitMerge:
    """Read a mergekit configuration of the form with ``models``.

    Models are looked for where mergekit does, from the current folder on; then beside the file,
    and in the one folder beside its own that has them all. A parameter that mergekit's method
    does not have does nothing there; it is warned of.

    Parameters
    ----------
    path : str or Path
        A YAML file.
    seed : int
        Of random masks, which mergekit draws otherwise.

    Returns
    -------
    MergekitMerge
        Base, models and recipe.

    Raises
    ------
    UsageError
        A form, key, method or value that cannot be run, by name, with what can be.
    """
    path = Path(path)
    try:
        return _merge(path, _content(path), seed)
    except UsageError as error:
        raise error.about(path) from error


def _merge(path: Path, content: Mapping[str, Any], seed: int) -> MergekitMerge:
    name = content.get("merge_method")
    if not isinstance(name, str) or name not in FORMS:
        raise UsageError.unknown("merge_method", str(name), FORMS)
    form, shared = FORMS[name], _settings(content.get("parameters"), "parameters")
    models = _models(content.get("models"))
    base = None if content.get("base_model") is None else _reference(content["base_model"])
    if base is None and form.base == "needed":
        raise UsageError("base_model", "not given", f"{name} needs one")
    if base is not None and form.base == "member":
        models.setdefault(base, {})
    inputs = [one for one in models if form.base == "member" or one != base]
    if not inputs or len(inputs) > (form.most or len(inputs)):
        takes = f"{name} takes {form.most or 'one or more'}"
        raise UsageError("models", f"holds {len(inputs)} beside the base; {takes}", "list as many")
    for key in {key: None for given in (shared, *models.values()) for key in given}:
        if key not in {*form.shared, *form.own, *form.no_effect}:
            log.warning("%s: %s has no effect: %s has no such parameter", path, key, name)
    values = {key: _value(key, default, (shared,)) for key, default in form.shared.items()}
    own = {
        key: {one: _value(f"{key} of {one}", default, (models[one], shared), key) for one in inputs}
        for key, default in form.own.items()
    }
    weights = own.pop("weight", {})
    if name == "slerp" and base is not None:
        # The arc from the base, which counts as a model, to the other one.
        share = float(values.pop("t"))
        weights = {base: 1 - share, inputs[0]: share}
        inputs = [base, *inputs]
    origin = base if base is not None and form.base != "member" else inputs[0]
    places = _found(list(dict.fromkeys([origin, *inputs])), path)
    by_place = {place: label for label, place in labelled([places[i] for i in inputs]).items()}
    labels = {one: by_place[places[one]] for one in inputs}
    params = _ours(name, form, values, base is not None)
    for key, by_model in own.items():
        by_label = {labels[one]: value for one, value in by_model.items()}
        params |= _own(form, key, by_label)
    return MergekitMerge(
        places[origin],
        {labels[one]: places[one] for one in inputs},
        Recipe(form.method, params, {labels[one]: value for one, value in weights.items()}, seed),
        next((str(content[key]) for key in ("out_dtype", "dtype") if content.get(key)), None),
    )


def _ours(name: str, form: Form, values: Mapping[str, Any], has_base: bool) -> dict[str, Any]:
    """mergekit's parameters of the whole merge, in our words."""
    params = dict(values)
    if "lambda" in params:
        params["scaling"] = params.pop("lambda")
    if params.get("rescale") is True:
        params["rescale"] = "l1"
    if "filter_wise" in params:
        params["per"] = "row" if params.pop("filter_wise") else "tensor"
    if name == "nuslerp":
        flat, first = params.pop("nuslerp_flatten"), params.pop("nuslerp_row_wise")
        params["per"] = "tensor" if flat else "column" if first else "row"
    if name == "slerp":
        params |= {"origin": "zero", "chord_above": 0.9995}
    if form.base == "optional":
        params["origin"] = "base" if has_base else "zero"
    if params.pop("normalize_weights", True) is not True:
        raise UsageError("normalize_weights", "is false", "leave it out: weights are normalized")
    return params


def _own(form: Form, key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter that models have values of their own of, in our words."""
    if key == "density" and form.method == "dare_ties":
        key, values = "drop_rate", {label: 1 - float(value) for label, value in values.items()}
    alike = set(values.values())
    return {key: alike.pop() if len(alike) == 1 else values}


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UsageError("", f"cannot be read: {error}", "give a YAML file of mergekit") from error
    if not isinstance(content, Mapping):
        raise UsageError("", "is not a mapping", "begin with 'merge_method:'")
    for key in ("dtype", "out_dtype"):
        if content.get(key):
            dtypes.to_store(str(content[key]))
    for key, value in content.items():
        if key in _REMEDIES and value not in (None, "base"):
            raise UsageError(str(key), "not supported", _REMEDIES[key])
        if key not in _READ and key not in _REMEDIES:
            raise UsageError.unknown("key", str(key), _READ)
    return content


def _models(given: object) -> dict[str, Mapping[str, Any]]:
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise UsageError("models", "lists no model", "list entries of 'model' and 'parameters'")
    models: dict[str, Mapping[str, Any]] = {}
    for number, entry in enumerate(given, start=1):
        where = f"entry {number} of models"
        if not isinstance(entry, Mapping) or "model" not in entry:
            raise UsageError(where, "names no model", "write '- model: PATH'")
        for key in entry:
            if key not in ("model", "parameters"):
                raise UsageError.unknown(f"key of {where}", str(key), ("model", "parameters"))
        name = _reference(entry["model"])
        if name in models:
            raise UsageError(where, f"names {name!r} again", "give each model once")
        models[name] = _settings(entry.get("parameters"), f"parameters of {name}")
    return models


def _reference(given: object) -> str:
    """A model's name, from a text or mergekit's longer form of it."""
    path = given.get("model", given) if isinstance(given, Mapping) else given
    path = path.get("path") if isinstance(path, Mapping) else path
    if not isinstance(path, str) or not path:
        raise UsageError("model", f"is {given!r}", "give the path of a file or folder")
    if "+" in path or (isinstance(given, Mapping) and given.get("lora")):
        raise UsageError(f"model {path!r}", "has an adapter", "list the adapter as a model itself")
    return path


def _settings(given: object, where: str) -> Mapping[str, Any]:
    if not isinstance(given or {}, Mapping):
        raise UsageError(where, f"are {given!r}", "give names with values")
    settings: Mapping[str, Any] = given or {}  # type: ignore[assignment]
    return settings


def _value(
    what: str, default: object, places: Sequence[Mapping[str, Any]], key: str | None = None
) -> Any:
    """A parameter where it is given first, else mergekit's default."""
    found: Any = next(
        (one[key or what] for one in places if one.get(key or what) is not None), default
    )
    if found is REQUIRED:
        raise UsageError(what, "not given", _NUMBERS)
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], Mapping):
        # A value by filter whose only entry has no filter is a value.
        found = found[0].get("value") if not found[0].get("filter") else found
    if isinstance(default, bool):
        if not isinstance(found, bool):
            raise UsageError(what, f"is {found!r}", "give true or false")
        return found
    if isinstance(found, str):
        with suppress(ValueError):
            found = float(found)  # YAML reads 1e-5 as a text
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise UsageError(what, f"is {found!r}", _NUMBERS)
    return found


def _found(names: Sequence[str], file: Path) -> dict[str, Path]:
    """The files or folders that a mergekit file calls so."""
    folder = file.resolve().parent
    found = {
        name: next((p.resolve() for p in (Path(name), folder / name) if p.exists()), None)
        for name in names
    }
    missing = [name for name, place in found.items() if place is None]
    beside = sorted(one for one in folder.parent.iterdir() if one.is_dir()) if missing else []
    whole = [one for one in beside if all((one / name).exists() for name in missing)]
    if missing and len(whole) == 1:
        log.warning("%s: %s taken from %s", file, ", ".join(missing), whole[0])
    elif missing:
        where = f"is in {' and '.join(map(str, whole))}" if whole else "not found"
        raise UsageError(
            f"model {missing[0]!r}",
            f"{where} (looked in {Path.cwd()} and {folder})",
            "start in the folder that its path begins in; a hub's models are to be fetched first",
        )
    return {name: place or whole[0] / name for name, place in found.items()}
