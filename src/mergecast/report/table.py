"""Tables printed on a terminal of any width: no word is broken, what does not fit goes below.

What a table is, and what stands in its cells, is `mergecast.display.table`, called by its name here
as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from mergecast.display.table import (
    MISSING,
    Column,
    Parts,
    Row,
    Table,
    decimals,
    frame_table,
    number,
    percent,
    wrapped,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

__all__ = [
    "MISSING",
    "Column",
    "Parts",
    "Row",
    "Table",
    "blocks",
    "decimals",
    "frame_table",
    "number",
    "open_console",
    "percent",
    "show",
    "wrapped",
]

# Between two columns; the narrow one where it saves a second block.
_GAPS = (2, 1)
# Below this no table can be read; a narrower terminal breaks its lines itself.
_MIN_WIDTH = 40


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
