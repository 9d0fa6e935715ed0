"""What was forecast of merges that were measured, without what was measured of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mergecast.forecast.effects_posterior import left_out, pairs_of
from mergecast.forecast.measured import coded_rows, measured_pairs
from mergecast.forecast.rows import ABSTAINED, Codes
from mergecast.tables.outcomes import OutcomeTable
from mergecast.typing import Floats

#: Columns of `Forecast.beside`.
BESIDE_COLUMNS = [
    "suite",
    "method",
    "left",
    "right",
    "member",
    "measured",
    "stderr",
    "before",
    "before_lower",
    "before_upper",
    "others",
    "others_lower",
    "others_upper",
    "mean",
]
_KEYS = ["method", "left", "right", "member"]


def beside_measured(
    rows: pd.DataFrame,
    outcomes: OutcomeTable,
    level: float,
    most: Mapping[str, float | None],
) -> pd.DataFrame:
    """Forecasts of measured pairs that do not know what was measured of them.

    Two a member: `before` any merge of the family was measured; and from the `others`, all measured
    pairs but its own by any method, as `with_measured` makes it of them.

    Parameters
    ----------
    rows : DataFrame
        Of a forecast, before `with_measured`.
    outcomes : OutcomeTable
        What merges did.
    level : float
        Nominal level of the intervals, which are of what measuring would give.
    most : mapping of str to float or None
        By merging method, the most kept in training; None where that is not known.

    Returns
    -------
    DataFrame
        One row a member that was measured, of `BESIDE_COLUMNS`: `stderr` of what was measured, and
        `mean`, that of other measured pairs by the method. NaN where there is none: `before` where
        the forecaster abstains or a metric is missing, `others` and `mean` where no other pair was
        measured, or none by the method of which there is no forecast before.
    """
    known, _ = measured_pairs(rows, outcomes)
    beside = rows.merge(known, on=_KEYS, how="inner")
    pair = np.asarray(beside.groupby(["left", "right"]).ngroup())
    means, tops = _of_others(beside, pair)
    table = beside.assign(
        stderr=np.sqrt(beside["variance"]),
        before=beside["retention"],
        before_lower=beside["lower"],
        before_upper=beside["upper"],
        mean=means,
    )
    numbers, half = _from_others(rows, beside, means, level)
    ceiling = beside["method"].map(dict(most)).astype(float).fillna(math.inf).to_numpy()
    ceiling = np.fmax(ceiling, tops)
    table["others"] = np.clip(numbers, 0.0, ceiling)
    table["others_lower"] = np.clip(table["others"] - half, 0.0, ceiling)
    table["others_upper"] = np.minimum(table["others"] + half, np.maximum(ceiling, 1.0))
    return table[BESIDE_COLUMNS]


def _of_others(beside: pd.DataFrame, pair: Codes) -> tuple[Floats, Floats]:
    """Mean and maximum of what other pairs kept under each row's method, (n,); NaN for none."""
    measured, method = beside["measured"].to_numpy(), beside["method"].to_numpy()
    means, tops = np.full((2, len(beside)), np.nan)
    for i in range(len(beside)):
        others = measured[(method == method[i]) & (pair != pair[i])]
        if len(others):
            means[i], tops[i] = others.mean(), others.max()
    return means, tops


def _from_others(
    rows: pd.DataFrame, beside: pd.DataFrame, means: Floats, level: float
) -> tuple[Floats, Floats]:
    """Forecasts from other pairs and half their intervals' widths, (n,) each."""
    numbers, half = np.full((2, len(beside)), np.nan)
    abstained = rows["basis"] == ABSTAINED
    stands_in = rows["method"].map(beside.groupby("method")["measured"].mean())
    asked = rows.assign(retention=rows["retention"].where(~abstained, stands_in))
    asked = asked[asked["retention"].notna()]
    order = beside[_KEYS].assign(place=range(len(beside)))
    place = asked[_KEYS].merge(order, on=_KEYS, how="left")["place"].to_numpy()
    here = np.isfinite(place)
    if not here.any():
        return numbers, half
    known, at = coded_rows(asked, level).take(here), place[here].astype(np.intp)
    pair, mine = pairs_of(known), beside.iloc[at]
    if pair.max() == 0:
        return numbers, half
    residuals = np.stack([_residuals(mine, pair, code) for code in range(pair.max() + 1)])
    apart, variance = left_out(known, residuals, mine["variance"].to_numpy())
    start = mine["retention"].where(mine["basis"] != ABSTAINED, means[at])
    numbers[at] = start + apart
    half[at] = ndtri((1 + level) / 2) * np.sqrt(variance)
    return numbers, half


def _residuals(beside: pd.DataFrame, pair: Codes, code: int) -> Floats:
    """Measured less forecast, (n,); where there is none, less the method's mean without a pair."""
    measured = beside["measured"]
    others = measured[pair != code].groupby(beside["method"][pair != code]).mean()
    stands_in = beside["method"].map(others).fillna(measured)
    forecast = beside["retention"].where(beside["basis"] != ABSTAINED, stands_in)
    return np.asarray(measured - forecast, dtype=float)
