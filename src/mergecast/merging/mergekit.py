"""Merges that files of mergekit describe, read as recipes of ours."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from mergecast.checkpoints import Checkpoint, dtypes
from mergecast.checkpoints.hub import fetched, is_model_name
from mergecast.errors import CheckpointError, UsageError
from mergecast.family.labels import labelled
from mergecast.merging.mergekit_forms import FORMS, Form
from mergecast.merging.mergekit_layout import pieces_of
from mergecast.merging.mergekit_settings import Place, places, value_at, varies
from mergecast.merging.recipe import STRENGTH, Recipe

log = logging.getLogger(__name__)
#: Keys of a file that are read.
_READ = (
    "merge_method",
    "models",
    "slices",
    "modules",
    "base_model",
    "parameters",
    "dtype",
    "out_dtype",
    "name",
)
#: Those that are not, with what to do instead.
_REMEDIES = {
    "tokenizer_source": "leave it out: the output has the base's tokenizer, and with --vocabulary "
    "union the models' new tokens",
    "tokenizer": "leave it out: the output has the base's tokenizer, and with --vocabulary union "
    "the models' new tokens",
    "chat_template": "leave it out, and put it into the output's tokenizer_config.json",
}
#: Files of mergekit's other commands, told by a key of theirs, and why they are none of these.
_OTHERS = {
    "experts": "a mixture of experts (mergekit-moe) keeps every model's layers side by side and "
    "adds a router: nothing is averaged, so nothing is lost by interference",
    "genome": "a search (mergekit-evolve) is no merge: `mergecast search` does that",
}


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
    """Read a mergekit configuration: ``models``, ``slices`` of whole models, or one of ``modules``.

    A parameter's value may be a number, a list of numbers along the layers, or entries of
    ``filter`` and ``value``; the recipe then has values `by_parameter`. Models are looked for
    where mergekit does, from the current folder on; then beside the file, and in the one folder
    beside its own that has them all. A parameter that mergekit's method does not have does nothing
    there; it is warned of.

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
    form = FORMS[name]
    pieces, shared, ends, base = pieces_of(content)
    if base is None and form.base == "needed":
        raise UsageError("base_model", "not given", f"{name} needs one")
    for piece in pieces if base is not None and form.base == "member" else ():
        piece.models.setdefault(str(base), {})
    inputs = [one for one in pieces[0].models if form.base == "member" or one != base]
    if not inputs or len(inputs) > (form.most or len(inputs)):
        takes = f"{name} takes {form.most or 'one or more'}"
        raise UsageError("models", f"holds {len(inputs)} beside the base; {takes}", "list as many")
    given = [*shared, *(one for p in pieces for one in (p.shared, *p.models.values()))]
    for key in {key: None for settings in given for key in settings}:
        if key not in {*form.shared, *form.own, *form.no_effect}:
            log.warning("%s: %s has no effect: %s has no such parameter", path, key, name)
    arc = name == "slerp" and base is not None
    origin = base if base is not None and form.base != "member" else inputs[0]
    merged = [str(base), *inputs] if arc else inputs

    def recipe_at(place: Place, labels: Mapping[str, str]) -> Recipe:
        piece = pieces[place.piece]
        sources = [piece.shared, *shared]
        values = {k: value_at(k, default, sources, place) for k, default in form.shared.items()}
        own = {
            key: {
                one: value_at(f"{key} of {one}", default, [piece.models[one], *sources], place, key)
                for one in inputs
            }
            for key, default in form.own.items()
        }
        weights = own.pop("weight", {})
        if arc:
            # The arc from the base, which counts as a model, to the other one.
            share = float(values.pop("t"))
            weights = {str(base): 1 - share, inputs[0]: share}
        params = _ours(name, form, values, base is not None)
        for key, by_model in own.items():
            params |= _own(form, key, {labels[one]: value for one, value in by_model.items()})
        if place.name and weights and not any(weights.values()) and STRENGTH in params:
            # Where no model has a weight, the base is left as it is.
            weights, params = {}, {**params, STRENGTH: 0.0}
        by_label = {labels[one]: value for one, value in weights.items()}
        return Recipe(form.method, params, by_label, seed)

    recipe_at(Place(), {one: one for one in merged})  # a wrong value is said before a lost file
    where = _found(list(dict.fromkeys([origin, *merged])), path)
    by_place = {place: label for label, place in labelled([where[i] for i in merged]).items()}
    labels = {one: by_place[where[one]] for one in merged}
    by_name: dict[str, Recipe] = {}
    if ends is not None or any(varies(settings) for settings in given):
        names = Checkpoint.open(where[origin]).names
        by_name = {one: recipe_at(at, labels) for one, at in places(names, ends).items()}
    parts = Counter([*by_name.values()] or [recipe_at(Place(), labels)])
    whole = parts.most_common(1)[0][0]
    apart = {one: part for one, part in by_name.items() if part != whole}
    return MergekitMerge(
        where[origin],
        {labels[one]: where[one] for one in merged},
        replace(whole, by_parameter=apart),
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
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UsageError("", f"cannot be read: {error}", "give a YAML file of mergekit") from error
    if len(documents) > 1:
        raise UsageError(
            "", f"holds {len(documents)} merges", "write each to a file, and run them in order"
        )
    content = documents[0] if documents else None
    if not isinstance(content, Mapping):
        raise UsageError("", "is not a mapping", "begin with 'merge_method:'")
    for key, reason in _OTHERS.items():
        if key in content:
            raise UsageError(key, "not supported", reason)
    if content.get("merge_method") == "passthrough":
        raise UsageError(
            "merge_method 'passthrough'",
            "not supported: it stacks layers as they are and merges nothing",
            "run it with mergekit",
        )
    for key in ("dtype", "out_dtype"):
        if content.get(key):
            dtypes.to_store(str(content[key]))
    for key, value in content.items():
        if key in _REMEDIES and value not in (None, "base", {"source": "base"}):
            raise UsageError(str(key), "not supported", _REMEDIES[key])
        if key not in _READ and key not in _REMEDIES:
            raise UsageError.unknown("key", str(key), _READ)
    return content


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
    elif missing and not whole and all(map(is_model_name, missing)):
        for name in missing:
            try:
                found[name] = fetched(name)
            except CheckpointError as error:
                looked = f"not found (looked in {Path.cwd()} and {folder})"
                raise UsageError(
                    f"model {name!r}", f"{looked}: it {error.problem}", error.remedy
                ) from error
    elif missing:
        where = f"is in {' and '.join(map(str, whole))}" if whole else "not found"
        raise UsageError(
            f"model {missing[0]!r}",
            f"{where} (looked in {Path.cwd()} and {folder})",
            "start in the folder that its path begins in",
        )
    return {name: place or whole[0] / name for name, place in found.items()}
