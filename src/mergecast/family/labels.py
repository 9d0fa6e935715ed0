"""What models are called in tables and lines of text, from where they lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mergecast.checkpoints.checkpoint import weight_suffixes
from mergecast.errors import UsageError

#: What joins labels stands in none: '+' members of a merge, ',' those of an option.
_TAKEN = str.maketrans("+,", "__")


def labelled(paths: Sequence[str | Path]) -> dict[str, str | Path]:
    """Labels from file stems or folder names; equal ones take as much of their path as it needs."""
    places = [_place(Path(path)) for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise UsageError(f"model {path}", "given twice", "give each model once")
    depth = 0
    labels = [_stem(place, depth) for place in places]
    while len(set(labels)) < len(labels) and depth < max(len(place.parts) for place in places):
        depth += 1
        labels = [
            _stem(place, depth) if labels.count(label) > 1 else label
            for place, label in zip(places, labels, strict=True)
        ]
    if len(set(labels)) < len(labels):  # equal but for suffix or what joins
        plain = [_stem(place, 0) for place in places]
        labels = [f"{label}#{number}" for number, label in enumerate(plain, start=1)]
    return dict(zip(labels, paths, strict=True))


def _place(path: Path) -> Path:
    """The path from the root on; ``.`` and ``..`` are the folders that they stand for."""
    return path.resolve() if path.name in ("", "..") else path.absolute()


def _stem(place: Path, depth: int) -> str:
    """A file's stem or folder's name, with `depth` folders above it, as it can be spelt."""
    name = _repository(place) or place.name
    for suffix in weight_suffixes():
        name = name.removesuffix(suffix)
    above = [part for part in place.parent.parts[-depth:] if part != "/"] if depth else []
    return _printable("/".join([*above, name]).translate(_TAKEN))


def _repository(place: Path) -> str:
    """Name and revision of a snapshot in a hub's cache, whose folder is called by a hash."""
    for cache in (place, *place.parents[:2]):
        if cache.name.startswith("models--"):
            name = cache.name.rpartition("--")[2]
            revision = place.name[:7] if place.parent.name == "snapshots" else ""
            return f"{name}@{revision}" if revision else name
    return ""


def _printable(name: str) -> str:
    """A label goes into tables and lines of text: bytes that are no text, line ends are escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
