"""A result on one screen: sentences, then the head of a table; for a terminal and a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import fill, shorten

import pandas as pd

_WIDTH = 100
_CELL = 24
#: Characters of a note, and notes shown.
_NOTE, _NOTES = 200, 8


def as_text(
    lines: Sequence[str],
    frame: pd.DataFrame,
    rows: int = 5,
    columns: int = 8,
    notes: Sequence[str] = (),
) -> str:
    """Lines of at most a hundred characters, then as much of the table as was asked for.

    Parameters
    ----------
    lines : sequence of str
        What is said before the table.
    frame : DataFrame
        The table.
    rows, columns : int
        How many of it are shown; a line counts the others.
    notes : sequence of str
        What is said after the table, as far as it fits a screen.
    """
    head = [fill(line, _WIDTH) for line in lines]
    shown = frame.iloc[:rows, :columns]
    table = shown.to_string(
        index=False, max_colwidth=_CELL, line_width=_WIDTH, float_format=_number, na_rep="–"
    )
    tail = [fill(note, _WIDTH, subsequent_indent="  ") for note in _short(notes)]
    return "\n".join([*head, table, *_more(frame, rows, columns), *tail])


def as_html(
    lines: Sequence[str],
    frame: pd.DataFrame,
    rows: int = 5,
    columns: int = 8,
    notes: Sequence[str] = (),
) -> str:
    """The same as HTML; names stand as text, whatever is in them."""
    shown = frame.iloc[:rows, :columns]
    table = shown.to_html(index=False, float_format=_number, na_rep="–", border=0)
    head, tail = (
        "".join(f"<p>{escape(line)}</p>" for line in part)
        for part in (lines, [*_more(frame, rows, columns), *_short(notes)])
    )
    return f"{head}{table}{tail}"


def _short(notes: Sequence[str]) -> list[str]:
    shown = [shorten(note, _NOTE, placeholder=" …") for note in notes[:_NOTES]]
    return [*shown, *([f"… {len(notes) - _NOTES} more"] if len(notes) > _NOTES else [])]


def _number(value: float) -> str:
    return f"{value:.4g}"


def _more(frame: pd.DataFrame, rows: int, columns: int) -> list[str]:
    counts = (len(frame) - rows, "rows"), (frame.shape[1] - columns, "columns")
    more = [f"{count} more {what}" for count, what in counts if count > 0]
    return [f"… {', '.join(more)}"] if more else []
