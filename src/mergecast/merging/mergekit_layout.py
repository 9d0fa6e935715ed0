"""What a mergekit file merges with what: whole models, or the same layers of each in slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mergecast.errors import UsageError
from mergecast.merging.mergekit_settings import Settings

_SLICE = ("sources", "base_model", "residual_weight", "parameters")
_MODULE = ("models", "slices", "parameters")


@dataclass(frozen=True)
class Piece:
    """Some layers of the output.

    Attributes
    ----------
    models : dict of str to mapping
        Every model to the settings of its own.
    shared : mapping
        Settings of all of them.
    """

    models: dict[str, Settings]
    shared: Settings


def pieces_of(
    content: Mapping[str, Any],
) -> tuple[list[Piece], list[Settings], list[tuple[int, int]] | None, str | None]:
    """What is merged with what, settings of the whole, the layers of every slice, and the base."""
    shared = [_settings(content.get("parameters"), "parameters")]
    forms = [key for key in ("models", "slices", "modules") if content.get(key)]
    if len(forms) > 1:
        raise UsageError(" and ".join(forms), "given together", "mergekit takes one of them")
    if content.get("modules"):
        modules = content["modules"]
        if not isinstance(modules, Mapping) or len(modules) != 1:
            raise UsageError(
                "modules",
                "are several parts of a network, each merged in its own way",
                "merge the parts that are the same architecture by a file each",
            )
        [module] = modules.values()
        module = _settings(module, "module")
        for key in module:
            if key not in _MODULE:
                raise UsageError.unknown("key of the module", str(key), _MODULE)
        shared.insert(0, _settings(module.get("parameters"), "parameters of the module"))
        content = {**content, "models": module.get("models"), "slices": module.get("slices")}
    if not content.get("slices"):
        return [Piece(_models(content.get("models")), {})], shared, None, _base_of(content)
    pieces: list[Piece] = []
    ends: list[tuple[int, int]] = []
    for number, given in enumerate(_entries(content["slices"], "slices"), start=1):
        where = f"slice {number}"
        for key in given:
            if key not in _SLICE:
                raise UsageError.unknown(f"key of {where}", str(key), _SLICE)
        sources = [dict(one) for one in _entries(given.get("sources"), f"sources of {where}")]
        ranges = {_layers(one.pop("layer_range", None), where) for one in sources}
        if len(ranges) > 1:
            raise UsageError(
                f"{where}",
                "takes other layers of one model than of another",
                "take the same layers of all; others share no base in these layers",
            )
        ends.append(next(iter(ranges)))
        shared_here = _settings(given.get("parameters"), f"parameters of {where}")
        pieces.append(Piece(_models(sources), shared_here))
    if any({*piece.models} != {*pieces[0].models} for piece in pieces):
        raise UsageError(
            "slices",
            "do not all merge the same models",
            "list the same models in every slice, with weight 0 where one takes no part",
        )
    return pieces, shared, ends, _base_of(content)


def _base_of(content: Mapping[str, Any]) -> str | None:
    """The base that the file names, for the whole or, alike, for its slices."""
    named = {
        _reference(given["base_model"])
        for given in (content, *(content.get("slices") or ()))
        if given.get("base_model") is not None
    }
    if len(named) > 1:
        raise UsageError("base_model", f"is {' and '.join(sorted(named))}", "give one base")
    return next(iter(named), None)


def _layers(given: object, where: str) -> tuple[int, int]:
    """First layer and the one after the last."""
    if (
        not isinstance(given, list | tuple)
        or len(given) != 2
        or not all(isinstance(one, int) and one >= 0 for one in given)
        or given[0] >= given[1]
    ):
        raise UsageError(f"layer_range of {where}", f"is {given!r}", "give [first, end]")
    return given[0], given[1]


def _entries(given: object, where: str) -> list[Mapping[str, Any]]:
    if not isinstance(given, list) or not given or not all(isinstance(x, Mapping) for x in given):
        raise UsageError(where, f"are {given!r}", "give a list of entries")
    return given


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
    if isinstance(path, Mapping):
        revision = path.get("revision")
        path = path.get("path")
        path = f"{path}@{revision}" if path and revision else path
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
