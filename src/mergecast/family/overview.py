"""A family on one screen: as text for a terminal, as HTML for a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TypeAlias

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.display import notebook
from mergecast.display.table import Table
from mergecast.errors import MergecastError
from mergecast.family.alignment import Alignment

#: What a part of the overview is called, its count in words, and one line for each of its items.
Part: TypeAlias = tuple[str, str, Sequence[str]]

_WIDTH = 100
_SHOWN = 8  # items of a part: four parts then fit on one screen


def overview(
    base: Checkpoint,
    names: Sequence[str],
    alignment: Alignment,
    refused: Mapping[str, MergecastError],
) -> list[Part]:
    """Base, models, parameters and what was left out, with the reason."""
    elements = sum(base.info(name).size for name in alignment.shared)
    reasons: dict[str, list[str]] = {"private": [], "buffer": []}
    for one in alignment.excluded:
        reasons.setdefault(one.kind, []).append(f"{one.name}: {one.reason}")
    reasons["refused"] = [str(error.about(label)) for label, error in refused.items()]
    return [
        ("base", str(base.path), ()),
        ("models", str(len(names)), names),
        ("shared", f"{len(alignment.shared)} parameters, {elements:,} elements", ()),
        *((kind, str(len(lines)), lines) for kind, lines in reasons.items() if lines),
    ]


def as_text(title: str, parts: Sequence[Part]) -> str:
    """The overview in lines of at most a hundred characters; paths may be longer."""
    lines = [title]
    for name, count, items in parts:
        lines.append(f"  {name:<9}{count}")
        lines += [_line(item) for item in _shown(items)]
    return "\n".join(lines)


def as_html(title: str, parts: Sequence[Part]) -> str:
    """The overview as a table for a notebook."""
    rows = [[name, "\n".join((count, *_shown(items)))] for name, count, items in parts]
    return notebook.as_html([Table(title, ["", ""], rows, keys=2)])


def _shown(items: Sequence[str]) -> list[str]:
    more = [f"… {len(items) - _SHOWN} more"] if len(items) > _SHOWN else []
    return [*items[:_SHOWN], *more]


def _line(item: str) -> str:
    indent = " " * 11
    return fill(
        item,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
