"""What is shown of a search: the verdict, what is kept, and the best of what was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mergecast.display.table import MISSING, Table, number, wrapped

_SHOWN = 5
#: What a model is shown with where a scorer verified; its scores have any unit.
_SCORES = ("own_score", "merged_score")
#: Characters of a line of a recipe.
_RECIPE = 28


def search_parts(found: Mapping[str, Any]) -> list[Table | str]:
    """A search, as `SearchResult.to_dict` gives it, as tables and sentences in order."""
    tried: list[list[str] | None] = [
        [
            one["members"],
            wrapped(one["recipe"], _RECIPE),
            number(one["forecast"]),
            number(one["measured"]),
            str(one["samples"]),
        ]
        for one in found["tried"][:_SHOWN]
    ]
    cost = found["cost"]
    seconds = sum(cost[f"{part}_seconds"] for part in ("evidence", "search", "verification"))
    by = (found["verified"] or {}).get("scorer")
    measured = len(found["tried"])
    return [
        *found["verdict"],
        _kept(found["kept"], scored=by is not None),
        found["judged"],
        *([] if by is None else [f"Verification scorer: {by}"]),
        Table(
            f"Best of {measured} merges that were measured",
            ["models", "recipe", "forecast", "measured", "samples"],
            tried,
            keys=2,
        ),
        f"{found['ended'].capitalize()}: {cost['measurements']:.0f} measurements, "
        f"{cost['samples']:,.0f} samples, {seconds:.0f} s. The probability that no other "
        f"merge is better by more than {found['epsilon']:g} is {found['certainty']:.0%}.",
    ]


def _kept(rows: Sequence[Mapping[str, Any]], *, scored: bool) -> Table:
    """What each model keeps: with its interval, or with the scores where a scorer verified."""
    shown: list[list[str] | None] = []
    for one in rows:
        kept = one.get("kept", one["seen"])
        cells = [one["model"], number(one["forecast"]), number(kept)]
        interval = MISSING
        if "lower" in one:
            interval = f"{number(one['lower'])} to {number(one['upper'])}"
        scores = [f"{one[key]:.4g}" for key in _SCORES if scored]
        shown.append([*cells, *(scores or [interval])])
    last = ["own score", "merge's score"] if scored else ["interval"]
    untouched = any("kept" in one for one in rows)
    columns = ["model", "forecast", "kept" if untouched else "kept (scorer)", *last]
    return Table("What each model keeps of its own score", columns, shown)
