"""A result on one screen: sentences, then the head of a table; for a terminal and a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill, shorten

import numpy as np
import pandas as pd

from mergecast.display import notebook
from mergecast.display.table import MISSING, Table

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
        index=False, max_colwidth=_CELL, line_width=_WIDTH, float_format=_number, na_rep=MISSING
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
    table = _as_table(frame.iloc[:rows, :columns])
    return notebook.as_html([*lines, table, *_more(frame, rows, columns), *_short(notes)])


def _as_table(frame: pd.DataFrame) -> Table:
    """The rows as they are shown; what names them are the columns before the first numbers."""
    numbers = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    keys = numbers.index(True) if True in numbers else len(numbers)
    rows = [[_cell(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    return Table("", [str(name) for name in frame.columns], rows, keys)


def _cell(value: object) -> str:
    if isinstance(value, float | np.floating):
        return MISSING if np.isnan(value) else _number(float(value))
    return MISSING if value is None or value is pd.NA else str(value)


def _short(notes: Sequence[str]) -> list[str]:
    shown = [shorten(note, _NOTE, placeholder=" …") for note in notes[:_NOTES]]
    return [*shown, *([f"… {len(notes) - _NOTES} more"] if len(notes) > _NOTES else [])]


def _number(value: float) -> str:
    return f"{value:.4g}"


def _more(frame: pd.DataFrame, rows: int, columns: int) -> list[str]:
    counts = (len(frame) - rows, "rows"), (frame.shape[1] - columns, "columns")
    more = [f"{count} more {what}" for count, what in counts if count > 0]
    return [f"… {', '.join(more)}"] if more else []
