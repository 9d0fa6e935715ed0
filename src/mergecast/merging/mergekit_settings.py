"""Values in a mergekit file: plain, by filter, or by layer (a gradient), as mergekit reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mergecast.errors import UsageError
from mergecast.merging.mergekit_forms import REQUIRED

#: Keys with their values; the first that has one for a parameter decides.
Settings = Mapping[str, Any]
_NUMBER = "give a number, a list of numbers along the layers, or entries of filter and value"
_ENTRY = ("filter", "value")
_LAYER = re.compile(r"(?:(.*?)\.)?(\d+)(?:\..*)?")
_INPUT = re.compile(r"emb|wte|wpe", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where a parameter is.

    Attributes
    ----------
    name : str
        Its name; "" for none in particular.
    depth : float
        From 0, the first layer of its slice, to 1, the last one; 0 outside layers.
    piece : int
        The slice that it is in, of the file's.
    """

    name: str = ""
    depth: float = 0.0
    piece: int = 0


def varies(settings: Settings) -> bool:
    """Whether a value of these depends on the parameter."""
    return any(isinstance(value, list) and not _lone(value) for value in settings.values())


def value_at(
    what: str, default: object, sources: Sequence[Settings], place: Place, key: str | None = None
) -> Any:
    """A setting for a parameter, where it is given first, else mergekit's default.

    Parameters
    ----------
    what : str
        What errors call it, and its key unless `key` is given.
    default : object
        `REQUIRED` for none. A flag asks for a flag, all else for a number.
    sources : sequence of mapping
        From the most special to the most general one.
    place : Place
        Where the parameter is.

    Raises
    ------
    UsageError
        It is not given, or is of another type.
    """
    flag = isinstance(default, bool)
    for one in sources:
        given = one.get(key or what)
        found = None if given is None else _evaluated(what, given, place, flag)
        if found is not None:
            return found
    if default is REQUIRED:
        raise UsageError(what, "not given", _NUMBER)
    return default


def places(names: Sequence[str], pieces: Sequence[tuple[int, int]] | None) -> dict[str, Place]:
    """Where each of a model's parameters is.

    Parameters
    ----------
    names : sequence of str
        Of all parameters.
    pieces : sequence of (int, int) or None
        First layer and the one after the last of every slice; None for one of all layers.

    Raises
    ------
    UsageError
        Layers are in several stacks, or slices are not the model's layers, each once, in order.
    """
    found = {name: match for name in names if (match := _LAYER.fullmatch(name))}
    stacks: dict[str, set[int]] = {}
    for match in found.values():
        stacks.setdefault(match[1] or "", set()).add(int(match[2]))
    deep = {prefix: layers for prefix, layers in stacks.items() if len(layers) > 1}
    if len(deep) > 1:
        raise UsageError(
            "layers",
            f"are in several stacks ({', '.join(sorted(deep))})",
            "give values that do not depend on the layer, and whole models",
        )
    prefix, layers = next(iter(deep.items()), ("", set()))
    count = max(layers, default=-1) + 1
    whole = [(0, count)] if pieces is None else list(pieces)
    ends = [0, *(end for _, end in whole)]
    if any(first != end for (first, _), end in zip(whole, ends, strict=False)) or ends[-1] != count:
        raise UsageError(
            "slices",
            f"take the layers {', '.join(f'{a} to {b}' for a, b in whole)} of {count}",
            "take every layer once, in order; mergekit stacks layers otherwise (passthrough), and "
            "such a network has no base that it could be compared with",
        )
    return {name: _place(name, found.get(name), prefix, whole) for name in names}


def _place(
    name: str, match: re.Match[str] | None, prefix: str, pieces: Sequence[tuple[int, int]]
) -> Place:
    if match is None or (match[1] or "") != prefix:
        # What comes before the layers goes with the first slice, what comes after with the last.
        return Place(name, piece=0 if _INPUT.search(name) else len(pieces) - 1)
    layer = int(match[2])
    piece = next(i for i, (_, end) in enumerate(pieces) if layer < end)
    first, end = pieces[piece]
    return Place(name, (layer - first) / (end - first - 1) if end - first > 1 else 1.0, piece)


def _lone(entries: Sequence[object]) -> bool:
    """Entries of filters of which the first holds for all parameters, with one value."""
    first = entries[0] if entries else None
    if not isinstance(first, Mapping) or first.get("filter") not in (None, "*"):
        return False
    return not isinstance(first.get("value"), list)


def _evaluated(what: str, given: object, place: Place, flag: bool) -> Any:
    """A setting's value for a parameter; None where no filter holds."""
    if isinstance(given, Mapping):
        given = [given]
    if not isinstance(given, list):
        return _scalar(what, given, flag)
    if not given:
        return None
    if not any(isinstance(one, Mapping) for one in given):
        return _along([_scalar(what, one, flag) for one in given], place.depth)
    for entry in given:
        if not isinstance(entry, Mapping) or "value" not in entry:
            raise UsageError(what, f"holds {entry!r}", _NUMBER)
        for key in entry:
            if key not in _ENTRY:
                raise UsageError.unknown(f"key of an entry of {what}", str(key), _ENTRY)
        wanted = entry.get("filter")
        if wanted in (None, "*") or (place.name and str(wanted) in place.name):
            return _evaluated(what, entry["value"], place, flag)
    return None


def _along(values: Sequence[Any], depth: float) -> Any:
    """A gradient: numbers are interpolated, flags are taken from the place before."""
    at = depth * (len(values) - 1)
    before = int(at)
    if isinstance(values[0], bool):
        return values[before]
    after = min(len(values) - 1, before + 1)
    return (1 - (at - before)) * values[before] + (at - before) * values[after]


def _scalar(what: str, given: object, flag: bool) -> Any:
    if flag:
        if not isinstance(given, bool):
            raise UsageError(what, f"is {given!r}", "give true or false")
        return given
    if isinstance(given, str):
        with suppress(ValueError):
            given = float(given)  # YAML reads 1e-5 as a text
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise UsageError(what, f"is {given!r}", _NUMBER)
    return given
