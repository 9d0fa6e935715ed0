"""What each model keeps in the merge that a search found, as a table: screen, page and card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mergecast.display.table import MISSING, Table, number

#: What a model is shown with where a scorer verified; its scores have any unit.
_SCORES = {"own_score": "own score", "merged_score": "merge's score"}


def kept_table(found: Mapping[str, Any]) -> Table:
    """A row a model: with its interval, or with the scores where a scorer verified.

    Parameters
    ----------
    found : mapping
        A search, as `SearchResult.to_dict` gives it.
    """
    scored = "scorer" in (found["verified"] or {})
    untouched = any("kept" in one for one in found["kept"])
    headings = [
        "model",
        "forecast",
        "kept" if untouched else "kept (scorer)",
        *(_SCORES.values() if scored else ["interval"]),
    ]
    rows = []
    for one in found["kept"]:
        interval = MISSING
        if "lower" in one:
            interval = f"{number(one['lower'])} to {number(one['upper'])}"
        rows.append(
            [
                one["model"],
                number(one["forecast"]),
                number(one.get("kept", one["seen"])),
                *([f"{one[key]:.4g}" for key in _SCORES] if scored else [interval]),
            ]
        )
    return Table("What each model keeps of its own score", headings, rows)
