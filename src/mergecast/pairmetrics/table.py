"""The pair table: every metric of every pair of a family."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import pandas as pd

from mergecast.errors import FamilyError, MergecastError, UndefinedError
from mergecast.family.family import Family
from mergecast.fingerprints.weights import WeightFingerprints, collect
from mergecast.pairmetrics.pair import WeightPair, pairs
from mergecast.pairmetrics.spec import METRICS, MetricSpec


class LabelledPair(Protocol):
    """Evidence of an ordered pair, whatever it is."""

    @property
    def labels(self) -> tuple[str, str]:
        """Labels of the two models."""


Progress = Callable[[int, int], None]
#: Relative room for rounding at a range's ends.
_ROUNDING = 1e-9


def compute_metrics(
    family: Family, *, suite: str = "", workers: int = 2, progress: Progress | None = None
) -> pd.DataFrame:
    """All weight metrics of all pairs.

    Parameters
    ----------
    family : base and at least two models.
    suite : value of the ``suite`` column.
    workers : threads; the values do not depend on their number.
    progress : called with (parameters done, parameters).

    Returns
    -------
    One row a pair, ``suite, left, right`` (labels in sorted order) and one column a metric.
    Undefined values are NaN; ``attrs["missing"]`` lists them with the reason.
    """
    if family.size < 2:
        raise FamilyError(
            "family", f"has {family.size} model", "pairs need at least two fine-tuned models"
        )
    return table_of(collect(family, workers=workers, progress=progress), suite=suite)


def table_of(fingerprints: WeightFingerprints, *, suite: str = "") -> pd.DataFrame:
    """The pair table of weight fingerprints; see `compute_metrics`."""
    specs = [spec for spec in METRICS if spec.evidence == "weights"]
    rows: list[dict[str, object]] = []
    missing: list[dict[str, str]] = []
    for pair in pairs(fingerprints):
        left, right = pair.labels
        row: dict[str, object] = {"suite": suite, "left": left, "right": right}
        for spec in specs:
            for column, ordered in zip(spec.columns, (pair, _swapped(pair)), strict=False):
                try:
                    row[column] = checked_value(spec, ordered)
                except UndefinedError as reason:
                    row[column] = np.nan
                    missing.append(
                        {"left": left, "right": right, "key": column, "reason": str(reason)}
                    )
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame.attrs["missing"] = missing
    return frame


def _swapped(pair: WeightPair) -> WeightPair:
    return WeightPair(pair.fingerprints, pair.j, pair.i, pair.gram[::-1, ::-1])


def checked_value(spec: MetricSpec, pair: LabelledPair) -> float:
    """One value, held to the metric's declared range."""
    value = float(spec.function(pair))
    low, high = spec.range
    room = _ROUNDING * max(1.0, abs(value))
    if math.isfinite(value) and low - room <= value <= high + room:
        return min(max(value, low), high)
    raise MergecastError(
        f"metric {spec.key!r} of {pair.labels[0]} and {pair.labels[1]}",
        f"is {value}, outside its range [{low}, {high}]",
        "report this: it is a defect, of the metric if it is a plug-in's",
    )
