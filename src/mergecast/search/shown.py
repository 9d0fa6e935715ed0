"""What is shown of a search: the verdict, what is kept, and the best of what was tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mergecast.display.kept import kept_table
from mergecast.display.table import Table, number, wrapped

_SHOWN = 5
#: Characters of a line of a recipe.
_RECIPE = 28


def search_parts(found: Mapping[str, Any]) -> list[Table | str]:
    """A search, as `SearchResult.to_dict` gives it, as tables and sentences in order."""
    scored = not found["samples"]  # by a scorer, whose samples nobody here knows
    tried: list[list[str] | None] = [
        [
            one["members"],
            wrapped(one["recipe"], _RECIPE),
            number(one["forecast"]),
            number(one["measured"]),
            *([] if scored else [str(one["samples"])]),
        ]
        for one in found["tried"][:_SHOWN]
    ]
    cost = found["cost"]
    seconds = sum(cost[f"{part}_seconds"] for part in ("evidence", "search", "verification"))
    by = (found["verified"] or {}).get("scorer")
    measured = len(found["tried"])
    unit = "runs of the scorer" if scored else "samples"
    return [
        *found["verdict"],
        kept_table(found),
        found["judged"],
        *([] if by is None else [f"Verification scorer: {by}"]),
        Table(
            f"Best of {measured} merges that were measured",
            ["models", "recipe", "forecast", "measured", *([] if scored else ["samples"])],
            tried,
            keys=2,
        ),
        f"{found['ended'].capitalize()}: {cost['measurements']:.0f} measurements, "
        f"{cost['samples']:,.0f} {unit}, {seconds:.0f} s. The probability that no other "
        f"merge is better by more than {found['epsilon']:g} is {found['certainty']:.0%}.",
    ]
