"""What is shown of a search: the verdict, what is kept, and the best of what was tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mergecast.display.table import MISSING, Table, number, wrapped

_SHOWN = 5
#: Characters of a line of a recipe.
_RECIPE = 28


def search_parts(found: Mapping[str, Any]) -> list[Table | str]:
    """A search, as `SearchResult.to_dict` gives it, as tables and sentences in order."""
    kept: list[list[str] | None] = []
    for one in found["kept"]:
        interval = MISSING
        if "lower" in one:
            interval = f"{number(one['lower'])} to {number(one['upper'])}"
        kept.append([one["model"], number(one["forecast"]), number(one.get("kept")), interval])
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
    held = "Kept: on samples that the search never touched."
    if found["verified"] is None:
        held = "The scorer is the judge; nothing was held back from it."
    measured = len(found["tried"])
    return [
        *found["verdict"],
        Table("What each model keeps of its own score", ["model", "forecast", "kept", "interval"],
              kept),
        held,
        Table(
            f"Best of {measured} merges that were measured",
            ["models", "recipe", "forecast", "measured", "samples"],
            tried,
            keys=2,
        ),
        f"{found['ended'].capitalize()}: {cost['measurements']:.0f} measurements, "
        f"{cost['samples']:,.0f} samples, {seconds:.0f} s. The probability that no other "
        f"merge is better by more than {found['epsilon']:g} is {found['certainty']:.0%}.",
    ]  # fmt: skip
