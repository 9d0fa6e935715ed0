"""Ranked sets of models as a terminal table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mergecast.report.html import fixed

if TYPE_CHECKING:
    from rich.console import Console

#: Sets shown; the page and the JSON hold more.
_TOP = 10


def print_sets(sets: dict[str, Any], console: Console) -> None:
    """The sets of highest forecast, each by its best method, and what the numbers are worth."""
    from rich.table import Table
    from rich.text import Text

    ranking = sets["best"][:_TOP]
    table = Table(
        title=f"Best sets of {sets['size']}, {len(ranking)} of {sets['n_sets']}",
        title_justify="left",
    )
    table.add_column("set")
    table.add_column("method", no_wrap=True)
    for heading in ("retention", "mean of pairs"):
        table.add_column(heading, justify="right")
    table.add_column("weakest member")
    for entry in ranking:
        weakest = f"{entry['worst_member']} {fixed(entry['worst_predicted'], 2)}"
        table.add_row(
            Text(" + ".join(entry["members"])),
            Text(entry["method"]),
            fixed(entry["predicted"]),
            fixed(entry["pair_mean"]),
            Text(weakest),
        )
    console.print()
    console.print(table)
    console.print(sets["rule"], highlight=False, markup=False)
    if sets["n_without"]:
        missing = f"{sets['n_without']} sets hold a pair without a forecast and are not ranked."
        console.print(missing, highlight=False, markup=False)
