"""The best strengths of a forecast's sets: what the terminal shows of them, and what they are."""

from __future__ import annotations

from collections.abc import Iterator

from mergecast.report.set_model import BestStrength
from mergecast.report.table import Table, number, wrapped

#: Sets shown with their best strength, and the width of their names.
_STRENGTHS, _WIDTH = 12, 26
STRENGTHS_ARE = (
    "Kept: the expected score of the merge on each model's samples over the model's own. From "
    "shifts that add up and a few merges that were made."
)


def strength_parts(strengths: list[BestStrength]) -> Iterator[Table | str]:
    """The sets of each size that keep most, each at its best strength."""
    for size in sorted({len(entry["members"]) for entry in strengths}):
        ranked = [entry for entry in strengths if len(entry["members"]) == size]
        rows: list[list[str] | None] = [
            [
                wrapped(" + ".join(entry["members"]), _WIDTH),
                f"{entry['method']} {number(entry['strength'], 2)}",
                f"{number(entry['kept'], 2)} {number(entry['low'], 2)}–{number(entry['high'], 2)}",
                f"{number(entry['at_default'], 2)} at {entry['default']:g}",
            ]
            for entry in ranked[:_STRENGTHS]
        ]
        noun = "pairs" if size == 2 else f"sets of {size}"
        title = f"Best strength of {len(ranked)} {noun}"
        if len(ranked) > _STRENGTHS:
            title += f": the {_STRENGTHS} that keep most"
        headings = ["set", "method, scaling", "kept, 90 %", "by default"]
        yield Table(title, headings, rows, keys=2)
    if strengths:
        yield STRENGTHS_ARE
