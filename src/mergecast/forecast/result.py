"""A forecast: what each merge would do to each member, with which confidence, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from mergecast.forecast.file import ForecasterFile
    from mergecast.tables.pairs import PairTable

ROW_COLUMNS = [
    "suite",
    "method",
    "left",
    "right",
    "member",
    "basis",
    "retention",
    "lower",
    "upper",
    "out_of_range",
    "reasons",
    "note",
]
PAIR_COLUMNS = [
    "suite",
    "left",
    "right",
    "method",
    "retention",
    "lower",
    "worst_member",
    "worst_retention",
    "advice",
]
# What a row rests on.
COLD, WARM = "cold", "warm"
DO_NOT_MERGE = "do not merge"
MERGE = "merge"

# A member below nine tenths of its own score has lost what fine-tuning usually gains.
THRESHOLD = 0.9

# Methods whose means differ by less than this are equal for any purpose.
_TIE_DIGITS = 6


@dataclass(frozen=True)
class Forecast:
    """What a forecaster says about a family.

    Attributes
    ----------
    rows : one row a (pair, method, member), sorted: `basis` (``cold``: metrics only; ``warm``: also
        what the merges of one of the two models with others did), `retention`, its interval
        `lower`, `upper` (upper may be infinite: too few residuals), `out_of_range` (metrics outside
        the training range, the farthest first), `reasons` (up to three dicts `metric, value,
        contribution`, the three that moved the number most; the contribution is in retention,
        against a pair with average metrics; a model's known outcomes stand among the metrics as
        ``known outcomes of LABEL``, their value being the contribution), `note` (why there are no
        reasons, or why the forecast is missing: its numbers are then NaN).
    pairs : one row a pair, see `recommend`.
    level : nominal level of the intervals.
    threshold : retention of the worst member below which the advice is not to merge.
    tier : the evidence that was read.
    metrics : the pair table that was forecast.
    forecaster : all that the forecaster knows.
    suite : the training suite that the models were said to be of; None without one.
    name : what the forecaster is called: its file, or its shipped name.
    base, models : where the base and each model (by label) came from; empty where only a table
        was given.
    refused : label of each model left out to the reason.
    warnings : what a reader should know first, a sentence each.
    sets : all sets of some number of models under each method, best first, as `rank_sets` with
        `method`; None unless they were asked for.
    """

    rows: pd.DataFrame
    pairs: pd.DataFrame
    level: float
    threshold: float
    tier: str
    metrics: PairTable
    forecaster: ForecasterFile
    suite: str | None = None
    name: str = ""
    base: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    sets: pd.DataFrame | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is missing or infinite is None."""
        return {
            "level": self.level,
            "threshold": self.threshold,
            "tier": self.tier,
            "rows": _records(self.rows),
            "pairs": _records(self.pairs),
        }


def recommend(rows: pd.DataFrame, threshold: float = THRESHOLD) -> pd.DataFrame:
    """The best method for each pair, and whether to merge at all.

    Best is the highest mean retention of the two members; among equal means (to 1e-6) the higher
    `lower` of the worst member, then the name. `advice` is ``do not merge`` where even so the worst
    member's retention is below `threshold`. `lower` is the worst member's lower bound. A method
    whose forecast is missing takes no part; a pair without any keeps NaN and an empty method.

    Parameters
    ----------
    rows : member rows as in `Forecast.rows`.
    """
    found = []
    for (suite, left, right), pair in rows.groupby(["suite", "left", "right"], sort=True):
        head = {"suite": suite, "left": left, "right": right}
        candidates = []
        for method, members in pair.groupby("method", sort=True):
            if members["retention"].isna().any():
                continue
            worst = members.iloc[int(members["retention"].argmin())]
            mean = float(members["retention"].mean())
            order = (-round(mean, _TIE_DIGITS), -float(worst["lower"]), str(method))
            candidates.append((order, mean, worst))
        if not candidates:
            found.append({**head, "method": "", "advice": "no forecast"})
            continue
        (_, _, method), mean, worst = min(candidates, key=lambda candidate: candidate[0])
        found.append(
            {
                **head,
                "method": method,
                "retention": mean,
                "lower": float(worst["lower"]),
                "worst_member": worst["member"],
                "worst_retention": float(worst["retention"]),
                "advice": DO_NOT_MERGE if worst["retention"] < threshold else MERGE,
            }
        )
    table = pd.DataFrame(found, columns=PAIR_COLUMNS)
    table["worst_member"] = [m if isinstance(m, str) else "" for m in table["worst_member"]]
    return table


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            str(key): None if isinstance(value, float) and not np.isfinite(value) else value
            for key, value in row.items()
        }
        for row in table.to_dict("records")
    ]
