"""A table as data: what it says, whoever shows it; and numbers as people read them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pandas as pd

#: Cells as they are shown, of one or more lines; None draws a line between groups of rows.
Row: TypeAlias = Sequence[str] | None

MISSING = "–"


@dataclass(frozen=True)
class Table:
    """A table as it is shown.

    Attributes
    ----------
    title : str
    headings : Sequence[str]
        One a column; broken at spaces and after underscores to be as narrow as its cells.
    rows : Sequence[Row]
        Without any, nothing is printed.
    keys : int
        The first so many columns name the row: left-aligned, and in every block of columns.
    caption : str
        One or more lines below.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Row]
    keys: int = 1
    caption: str = ""


#: What a command prints, in order: tables, and sentences between them.
Parts: TypeAlias = Iterable[Table | str]


@dataclass(frozen=True)
class Column:
    """A column of a data frame that is shown.

    Attributes
    ----------
    key : str
        Its name in the frame.
    heading : str
    show : Callable[[Any], str]
        Value to cell.
    """

    key: str
    heading: str
    show: Callable[[Any], str] = str


def frame_table(
    title: str, frame: pd.DataFrame, columns: Sequence[Column], keys: int = 1, caption: str = ""
) -> Table:
    """The rows of a data frame, some of its columns."""
    rows = [[c.show(row[c.key]) for c in columns] for row in frame.to_dict("records")]
    return Table(title, [c.heading for c in columns], rows, keys, caption)


def number(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """A number as people read it; what is undefined (None, NaN) is a dash, never 0."""
    if value is None or value != value:
        return MISSING
    # Adding 0.0 turns the negative zero that rounding leaves into 0; a sign asked for stays.
    text = f"{value:+.{digits}f}" if signed else f"{round(value, digits) + 0.0:.{digits}f}"
    return text.replace("-", "−")


def percent(value: float | None, digits: int = 0) -> str:
    """A share in percent; a dash where it is undefined."""
    return MISSING if value is None or value != value else f"{value:.{digits}%}"


def decimals(digits: int) -> Callable[[Any], str]:
    """`number` with so many digits, for a `Column`."""
    return lambda value: number(value, digits)


def wrapped(text: str, width: int = 40) -> str:
    """A long cell in several lines, broken at spaces only."""
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)
