"""The text of a recipe, ``ties(density=0.5, weights={a: 0.7, b: 0.3})``: written and read here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from mergecast.errors import UsageError

#: What a recipe calls values that parameters of the network have apart.
APART = "by_parameter"
_RECIPE = re.compile(r"\s*([^\s()]+)\s*(?:\((.*)\)\s*)?", re.DOTALL)
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ITEM = re.compile(
    rf'\s*(\w+)\s*=\s*(\{{(?:{_QUOTED}|[^"{{}}])*\}}|[^\s,{{}}"][^,{{}}"]*)\s*(?:,|$)'
)
_ENTRY = re.compile(rf'\s*({_QUOTED}|[^\s:,"][^:,"]*?)\s*:\s*([^\s,"][^,"]*)(?:,|$)')
#: What a label is made of where it needs no quotes.
_PLAIN = re.compile(r"[\w./~-]+")


def three_digits(number: float) -> float:
    """A number as short as it is printed and can be given again."""
    return float(f"{number:.3g}")


def written(value: object) -> str:
    """A parameter's value as it is written on the command line and printed everywhere."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_label(key)}: {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def recipe_text(method: str, told: Mapping[str, object]) -> str:
    """A method with what it is told; its bare name where that is nothing."""
    inside = ", ".join(f"{name}={written(value)}" for name, value in told.items())
    return f"{method}({inside})" if inside else method


def apart_text(count: int, groups: object) -> str:
    """Values that some parameters have apart, in words: how many parameters, and a digest."""
    digest = hashlib.sha256(json.dumps(groups, sort_keys=True).encode()).hexdigest()[:6]
    return f"{count} of them [{digest}]"


def has_values_apart(label: str) -> bool:
    """Whether a recipe's label is of one with values by parameter, which no text holds."""
    return f"{APART}=" in label


def read_recipe_text(text: str) -> tuple[str, dict[str, Any]]:
    """The method of a text and what it is told; numbers, flags and mappings are no text any more.

    Raises
    ------
    UsageError
        It is no text of a recipe, or something stands in it twice.
    """
    found = _RECIPE.fullmatch(text)
    if found is None:
        _unreadable(text, text)
    told: dict[str, Any] = {}
    for name, value in _items(_ITEM, found[2] or "", text):
        if name in told:
            raise UsageError(f"recipe {text!r}", f"names {name!r} twice", "give it once")
        told[name] = _value(value.strip(), text)
    return found[1], told


def _value(value: str, text: str) -> Any:
    if not value.startswith("{"):
        return _scalar(value)
    entries = [*_items(_ENTRY, value[1:-1], text)]
    read = {
        json.loads(label) if label.startswith('"') else label: _scalar(one.strip())
        for label, one in entries
    }
    if len(read) < len(entries):
        raise UsageError(f"recipe {text!r}", f"names a model twice in {value}", "give it once")
    return read


def _items(pattern: re.Pattern[str], inside: str, text: str) -> Iterator[tuple[str, str]]:
    start = 0
    while inside[start:].strip():
        found = pattern.match(inside, start)
        if found is None:
            _unreadable(text, inside[start:].strip())
        yield found[1], found[2]
        start = found.end()


def _scalar(value: str) -> object:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(value, value)


def _label(label: object) -> str:
    plain = _PLAIN.fullmatch(str(label))
    return str(label) if plain else json.dumps(str(label), ensure_ascii=False)


def _unreadable(text: str, rest: str) -> NoReturn:
    raise UsageError(
        f"recipe {text!r}",
        f"cannot be read from {rest!r} on",
        "write METHOD(NAME=VALUE, ...), such as ties(density=0.5, scaling=1), weights and values "
        "of models as weights={a: 0.7, b: 0.3}",
    )
