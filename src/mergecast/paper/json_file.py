"""JSON files of others, read into types: errors name the file, the place in it and the value."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
)

from mergecast.errors import ResourceError, TableError

T = TypeVar("T")

# pydantic's words for what it expected, where ours are plainer.
_EXPECTED = {"model_type": "an object", "dict_type": "an object", "list_type": "a list"}
_AGAIN = "copy the file again"


class Strict(BaseModel):
    """An object whose values have the types that it says; other keys are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)


def _number(value: object) -> float:
    if value is None:
        return math.nan
    # No bool, which Python counts among the integers, and no integer beyond any float.
    if isinstance(value, float) or (type(value) is int and abs(value) < 2**1000):
        return float(value) if math.isfinite(value) else math.nan
    raise ValueError(f"expected a number or null, found {short(value)}")


def _finite(value: float) -> float:
    if math.isnan(value):
        raise ValueError("expected a finite number, found None or NaN")
    return value


#: A number, NaN where the file has null or no finite one; and a number that must be one.
Number = Annotated[float, BeforeValidator(_number)]
Finite = Annotated[Number, AfterValidator(_finite)]


def refuse_repeats(tasks: Sequence[str], problem: str = "stands twice") -> None:
    """Raise TableError about the first row whose task stands above already."""
    for i, task in enumerate(tasks):
        if task in tasks[:i]:
            raise TableError(f"row {i}", f"task {task!r} {problem}", "keep one of them")


def read_json(path: Path, kind: type[T]) -> T:
    """The content of a file.

    A key that stands twice is refused: the parser would silently keep the last of them.

    Parameters
    ----------
    path : Path
    kind : type
        What it holds: a pydantic model, or a type such as ``dict[str, Any]``.

    Raises
    ------
    TableError
        No such file, no JSON, or a value of another type.
    ResourceError
        The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TableError(path, "no such file", "copy the whole results folder") from None
    except OSError as error:
        raise ResourceError(path, f"cannot be read: {error.strerror}", "check the file") from error
    except UnicodeDecodeError as error:
        raise TableError(path, f"not UTF-8: {error.reason}", _AGAIN) from error
    try:
        data = json.loads(text, object_pairs_hook=_without_repeats)
    except TableError as error:
        raise error.about(path) from None
    except (ValueError, RecursionError) as error:
        raise TableError(path, f"not valid JSON: {error}", _AGAIN) from error
    return checked(kind, data, path)


def checked(kind: type[T], value: object, place: object) -> T:
    """A value of a file as `kind`; raises TableError about the first thing that is wrong."""
    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        raise _first_of(error, place) from None


def _first_of(error: ValidationError, place: object) -> TableError:
    first = error.errors(include_url=False)[0]
    where = f"{place}: {_place(first['loc'])}" if first["loc"] else str(place)
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, TableError):
        return cause.about(where)
    if cause is not None:
        return TableError(where, str(cause), _AGAIN)
    if first["type"] == "missing":
        keys = ", ".join(map(repr, list(first["input"])[:8]))
        return TableError(where, "missing", f"found: {keys or 'nothing'}")
    expected = _EXPECTED.get(first["type"], first["msg"].removeprefix("Input should be "))
    return TableError(where, f"expected {expected}, found {short(first['input'])}", _AGAIN)


def _place(steps: Sequence[str | int]) -> str:
    words = []
    for before, step in zip(("", *steps), steps, strict=False):
        kind = "key" if isinstance(step, str) else "column" if isinstance(before, int) else "row"
        words.append(f"{kind} {step!r}")
    return ", ".join(words)


def _without_repeats(items: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in items:
        if key in content:
            raise TableError(f"key {key!r}", "stands twice in one object", "keep one of them")
        content[key] = value
    return content


def short(value: object) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
