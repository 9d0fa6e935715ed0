"""JSON files of others: read with errors that name the file, and nothing dropped on the way."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from mergecast.errors import ResourceError, TableError


def read_json(path: Path) -> dict[str, Any]:
    """The one object of a JSON file; raises TableError or ResourceError.

    A key that stands twice is refused: the parser would silently keep the last of them.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        refuse_json(path, "", "no such file", "copy the whole results folder")
    except OSError as error:
        raise ResourceError(path, f"cannot be read: {error.strerror}", "check the file") from error
    except UnicodeDecodeError as error:
        raise TableError(path, f"not UTF-8: {error.reason}", "copy the file again") from error
    try:
        data = json.loads(text, object_pairs_hook=_without_repeats)
    except TableError as error:
        raise error.about(path) from None
    except (ValueError, RecursionError) as error:
        raise TableError(path, f"not valid JSON: {error}", "copy the file again") from error
    if not isinstance(data, dict):
        refuse_json(path, "", f"expected an object, found a {type(data).__name__}")
    return data


def entry(path: Path, data: Any, key: str, kind: type, where: str = "") -> Any:
    """``data[key]`` of type `kind`; raises TableError that names the file, place and key."""
    place = f"{where}, key {key!r}" if where else f"key {key!r}"
    if not isinstance(data, dict) or key not in data:
        found = ", ".join(map(repr, list(data)[:8])) if isinstance(data, dict) else "no object"
        refuse_json(path, place, "missing", f"found: {found or 'nothing'}")
    value = data[key]
    if not isinstance(value, kind):
        refuse_json(path, place, f"expected a {kind.__name__}, found {_short(value)}")
    return value


def number(path: Path, value: Any, where: str) -> float:
    """A number as float (NaN for null, NaN and infinities); raises TableError for anything else."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse_json(path, where, f"expected a number or null, found {_short(value)}")
    return float(value) if math.isfinite(value) else math.nan


def refuse_json(path: Path, where: str, problem: str, remedy: str = "") -> NoReturn:
    """Raise a TableError about a place in a file."""
    raise TableError(f"{path}: {where}" if where else path, problem, remedy)


def _without_repeats(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in items:
        if key in found:
            raise TableError(f"key {key!r}", "stands twice in one object", "keep one of them")
        found[key] = value
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
