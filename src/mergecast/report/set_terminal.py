"""Ranked sets of models as a terminal table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mergecast.report.html import fixed

if TYPE_CHECKING:
    from rich.console import Console

#: Rows in all, and of a method at least; the page and the JSON hold more.
_ROWS, _LEAST = 10, 3


def print_sets(sets: dict[str, Any], console: Console) -> None:
    """The sets of highest forecast under each method, and what the numbers are worth."""
    from rich.table import Table
    from rich.text import Text

    shown = max(_LEAST, _ROWS // len(sets["methods"]))
    table = Table(
        title=f"Best of {sets['n_sets']} sets of {sets['size']}, by method", title_justify="left"
    )
    table.add_column("method", no_wrap=True)
    table.add_column("set")
    for heading in ("retention", "pair mean"):
        table.add_column(heading, justify="right")
    table.add_column("weakest")
    for entry in sets["methods"]:
        table.add_section()
        for number, found in enumerate(entry["ranking"][:shown]):
            table.add_row(
                Text("" if number else entry["method"]),
                Text(" + ".join(found["members"])),
                fixed(found["predicted"]),
                fixed(found["pair_mean"]),
                Text(f"{found['worst_member']} {fixed(found['worst_predicted'], 2)}"),
            )
    console.print()
    console.print(table)
    console.print(sets["rule"], highlight=False, markup=False)
    for entry in sets["methods"]:
        if entry["n_without"]:
            text = f"{entry['n_without']} sets hold a pair without a forecast and are not ranked"
            console.print(f"{entry['method']}: {text}", highlight=False, markup=False)
