"""Tables on a terminal of any width: no word is ever broken, what does not fit goes below."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Row = Sequence[str]

# Between two columns; the narrow one where it saves a second block.
_GAPS = (2, 1)
# Below this no table can be read; a narrower terminal breaks its lines itself.
_MIN_WIDTH = 40


def open_console() -> Console:
    """A console on stdout: its width is the terminal's, or 80 in a pipe; ``COLUMNS`` decides."""
    from rich.console import Console

    return Console(highlight=False, markup=False)


def say(console: Console, text: str, style: str | None = None) -> None:
    """Prose: wrapped at words on a terminal, one line a sentence in a pipe, where tools read it."""
    console.print(text, style=style, soft_wrap=not console.is_terminal)


def print_table(
    console: Console,
    title: str,
    headings: Sequence[str],
    rows: Iterable[Row | None],
    keys: int = 1,
    caption: str = "",
) -> None:
    """Print a table in as many blocks of columns as the width needs.

    Parameters
    ----------
    headings : one a column; broken at spaces and after underscores to be as narrow as its cells.
    rows : cells as they are shown; None draws a line between groups of rows.
    keys : the first so many columns name the row: they are left-aligned and stand in every block.
    """
    cells = list(rows)
    if not any(row is not None for row in cells):
        return
    console.print()
    say(console, title, style="bold")
    heads = [_stacked(heading, _width(cells, i)) for i, heading in enumerate(headings)]
    widths = [
        max(_width(cells, i), *(len(line) for line in head.split("\n")))
        for i, head in enumerate(heads)
    ]
    width = max(console.width, _MIN_WIDTH)
    gap = next((gap for gap in _GAPS if len(blocks(widths, keys, width, gap)) == 1), _GAPS[0])
    for i, block in enumerate(blocks(widths, keys, width, gap)):
        if i:
            console.print()
        table = _table([heads[column] for column in block], cells, block, keys, gap)
        console.print(table, soft_wrap=True)
    if caption:
        for line in caption.split("\n"):
            say(console, line)


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
    found: list[list[int]] = []
    used = width + 1
    for column in range(keys, len(widths)):
        need = gap + widths[column]
        if not found or used + need > width:
            found.append([*first])
            used = taken
        found[-1].append(column)
        used += need
    return found or [first]


def number(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """A number as a cell; what is undefined (None, NaN) is a dash, never 0."""
    if value is None or value != value:
        return "–"
    # Adding 0.0 turns the negative zero that rounding leaves into 0.
    rounded = round(value, digits) + 0.0
    return f"{rounded:+.{digits}f}" if signed else f"{rounded:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share in percent."""
    return "–" if value is None or value != value else f"{100 * value:.{digits}f} %"


def _table(
    heads: list[str], cells: list[Row | None], block: list[int], keys: int, gap: int
) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0))
    for i, head in enumerate(heads):
        table.add_column(
            head, justify="left" if i < keys else "right", no_wrap=True, vertical="bottom"
        )
    for row in cells:
        if row is None:
            table.add_section()
        else:
            table.add_row(*(row[i] for i in block))
    return table


def _width(cells: list[Row | None], column: int) -> int:
    from rich.cells import cell_len

    return max(cell_len(row[column]) for row in cells if row is not None)


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
