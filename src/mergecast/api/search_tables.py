"""What a search tried, and what it did not, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mergecast.search.beliefs import Beliefs
from mergecast.search.result import joined
from mergecast.search.run import Search
from mergecast.search.untried import Reasons

#: Merges that were not tried and are shown.
_UNTRIED = 50


def tried_table(found: Search, beliefs: Beliefs) -> pd.DataFrame:
    """One row a merge that was measured, the best by what is believed first."""
    value, _ = found.utilities(beliefs)
    rows: list[dict[str, Any]] = []
    for place in sorted(found.seen, key=lambda place: (-value[place], place)):
        one, seen = found.priced[place], found.seen[place]
        members = one.candidate.members
        noise = np.random.default_rng(0).standard_normal((400, len(members)))
        drawn = found.objective.value(members, seen.kept + noise * np.sqrt(seen.variance))
        rows.append(
            {
                **joined(one.candidate),
                "forecast": float(found.objective.value(members, one.forecast)),
                "measured": float(found.objective.value(members, seen.kept)),
                "stderr": float(drawn.std()),
                "believed": _believed(found, beliefs, place),
                "samples": seen.samples,
                "kept": dict(zip(members, seen.kept.tolist(), strict=True)),
            }
        )
    return pd.DataFrame(rows)


def untried_table(found: Search, beliefs: Beliefs) -> pd.DataFrame:
    """The best merges that were not measured: what is believed of each now, and why it was not."""
    value, spread = found.utilities(beliefs)
    known, reasons = {*found.seen, *found.failed}, Reasons(found, beliefs)
    places = [row for row in np.argsort(-value, kind="stable") if int(row) not in known]
    rows = [
        {
            **joined(found.priced[row].candidate),
            "forecast": float(
                found.objective.value(
                    found.priced[row].candidate.members, found.priced[row].forecast
                )
            ),
            "believed": _believed(found, beliefs, int(row)),
            "sd": float(spread[row]),
            "why": reasons.why(int(row)),
        }
        for row in places[:_UNTRIED]
    ]
    return pd.DataFrame(rows, columns=["members", "recipe", "forecast", "believed", "sd", "why"])


def _believed(found: Search, beliefs: Beliefs, place: int) -> float:
    """The objective of a merge, by what its members are believed to keep."""
    members = found.priced[place].candidate.members
    return float(found.objective.value(members, found.kept(beliefs, place)))


def path_table(found: Search, seconds: Sequence[float]) -> pd.DataFrame:
    """One row a measurement, in their order."""
    rows: list[dict[str, Any]] = []
    passes = 0.0
    for look, (step, at) in enumerate(zip(found.steps, seconds, strict=True), 1):
        passes += step.cost
        best = joined(step.best)
        rows.append(
            {
                "look": look,
                "passes": passes,
                "seconds": at,
                **joined(step.candidate),
                "samples": step.seen.samples,
                "measured": float(found.objective.value(step.candidate.members, step.seen.kept)),
                "best": f"{best['members']} by {best['recipe']}",
                "value": step.value,
                "certainty": step.certainty,
            }
        )
    return pd.DataFrame(rows)
