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
# What a row rests on.
COLD, WARM = "cold", "warm"


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


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            str(key): None if isinstance(value, float) and not np.isfinite(value) else value
            for key, value in row.items()
        }
        for row in table.to_dict("records")
    ]
