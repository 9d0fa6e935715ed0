"""Tables as data, printed on a terminal of any width: no word is broken, what does not fit goes
below.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table as RichTable

#: Cells as they are shown, of one or more lines; None draws a line between groups of rows.
Row: TypeAlias = Sequence[str] | None

MISSING = "–"

# Between two columns; the narrow one where it saves a second block.
_GAPS = (2, 1)
# Below this no table can be read; a narrower terminal breaks its lines itself.
_MIN_WIDTH = 40


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


def decimals(digits: int, signed: bool = False) -> Callable[[Any], str]:
    """`number` with so many digits, for a `Column`."""
    return lambda value: number(value, digits, signed)


def wrapped(text: str, width: int = 40) -> str:
    """A long cell in several lines, broken at spaces only."""
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def open_console() -> Console:
    """A console on stdout: its width is the terminal's, or 80 in a pipe; ``COLUMNS`` decides."""
    from rich.console import Console

    return Console(highlight=False, markup=False)


def show(console: Console, parts: Parts) -> None:
    """Print tables and sentences in their order."""
    for part in parts:
        if isinstance(part, Table):
            _print_table(console, part)
        else:
            _say(console, part)


def _say(console: Console, text: str, style: str | None = None) -> None:
    """Prose: wrapped at words on a terminal, one line a sentence in a pipe, where tools read it."""
    console.print(text, style=style, soft_wrap=not console.is_terminal)


def _print_table(console: Console, table: Table) -> None:
    """Print a table in as many blocks of columns as the width needs."""
    rows, keys = table.rows, table.keys
    if not any(row is not None for row in rows):
        return
    console.print()
    _say(console, table.title, style="bold")
    heads = [_stacked(heading, _width(rows, i)) for i, heading in enumerate(table.headings)]
    widths = [
        max(_width(rows, i), *(len(line) for line in head.split("\n")))
        for i, head in enumerate(heads)
    ]
    width = max(console.width, _MIN_WIDTH)
    gap = next((gap for gap in _GAPS if len(blocks(widths, keys, width, gap)) == 1), _GAPS[0])
    for i, block in enumerate(blocks(widths, keys, width, gap)):
        if i:
            console.print()
        rich = _rich_table([heads[column] for column in block], rows, block, keys, gap)
        console.print(rich, soft_wrap=True)
    for line in table.caption.splitlines():
        _say(console, line)


def blocks(widths: Sequence[int], keys: int, width: int, gap: int = 2) -> list[list[int]]:
    """Which columns stand side by side: the key columns, and as many others as fit.

    `gap` is the space between two columns.

    Examples
    --------
    >>> blocks([10, 5, 5, 5], keys=1, width=24)
    [[0, 1, 2], [0, 3]]
    """
    first = list(range(keys))
    taken = sum(widths[:keys]) + gap * (keys - 1)
    placed: list[list[int]] = []
    used = width + 1
    for column in range(keys, len(widths)):
        need = gap + widths[column]
        if not placed or used + need > width:
            placed.append([*first])
            used = taken
        placed[-1].append(column)
        used += need
    return placed or [first]


def _rich_table(
    heads: list[str], rows: Sequence[Row], block: list[int], keys: int, gap: int
) -> RichTable:
    from rich import box
    from rich.align import Align
    from rich.table import Table as RichTable

    table = RichTable(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0)
    )
    for i, head in enumerate(heads):
        side: Literal["left", "right"] = "left" if i < keys else "right"
        table.add_column(Align(head, side, vertical="bottom"), justify=side, no_wrap=True)
    for row in rows:
        if row is None:
            table.add_section()
        else:
            table.add_row(*(row[i] for i in block))
    return table


def _width(rows: Sequence[Row], column: int) -> int:
    from rich.cells import cell_len

    cells = (row[column] for row in rows if row is not None)
    return max(cell_len(line) for cell in cells for line in cell.split("\n"))


def _stacked(heading: str, width: int) -> str:
    """The heading in lines no wider than `width`, where its words allow."""
    words = re.findall(r"[^\s_]+_?|_+", heading)
    lines = [""]
    for word in words:
        glue = "" if not lines[-1] or lines[-1].endswith("_") else " "
        if lines[-1] and len(lines[-1]) + len(glue) + len(word) > width:
            lines.append(word)
        else:
            lines[-1] += glue + word
    return "\n".join(lines)
