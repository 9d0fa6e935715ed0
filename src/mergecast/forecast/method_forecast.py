"""One merging method's model applied to pairs: numbers, intervals, range and reasons."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from mergecast.errors import UsageError
from mergecast.forecast.additive_forecast import Reasons, additive_numbers, sorted_reasons
from mergecast.forecast.estimators.scaling import within
from mergecast.forecast.file import Feature, MethodModel, Quantile
from mergecast.forecast.result import COLD, ROW_COLUMNS, WARM
from mergecast.forecast.rows import member_rows, reason_missing
from mergecast.typing import Floats

N_REASONS = 3

# A metric recomputed on the training pairs may differ in its last digits.
_RANGE_SLACK = 1e-9


def forecast_method(
    method: str, model: MethodModel, pairs: pd.DataFrame, level: float, suite: str | None = None
) -> pd.DataFrame:
    """Forecast member rows under one method; columns as `Forecast.rows`, `basis` ``cold``.

    Parameters
    ----------
    method, model : the method's name, and its part of the forecaster file.
    pairs : the validated pair table.
    level : nominal level of the intervals; one that the file lacks raises UsageError.
    suite : the suite whose labels name models of the forecaster.
    """
    half = np.full(2 * len(pairs), _half_width(model.residual_quantiles, level))
    seen = member_rows(pairs, method)
    table = seen[["suite", "left", "right", "member"]].copy()
    table["method"], table["basis"] = method, COLD
    if model.additive is None:
        names = [feature.name for feature in model.features if feature.coefficient != 0]
        retention, reasons = _linear(model, seen)
    else:
        names = model.additive.metrics
        retention, reasons, known = additive_numbers(model.additive, seen, suite)
        if model.known_quantiles:
            half = np.where(known, _half_width(model.known_quantiles, level), half)
    retention = np.maximum(retention, 0.0)
    table["retention"] = retention
    outside = _out_of_range(model.features, seen)
    # Nothing was tested out there: an interval grows with the distance of the farthest metric that
    # moves the number, in widths of its training range.
    excess = np.array(
        [max((d for d, name in row if name in names), default=0.0) for row in outside]
    )
    table["lower"] = np.maximum(retention - half * (1 + excess), 0.0)
    table["upper"] = retention + half * (1 + excess)
    farthest = [[name for _, name in row] for row in outside]
    table["out_of_range"] = pd.Series(farthest, index=table.index)
    table["reasons"] = pd.Series(
        [row[:N_REASONS] for row in reasons], index=table.index, dtype=object
    )
    table["note"] = [_note(method, model, pairs, seen.iloc[row], names) for row in range(len(seen))]
    return table[ROW_COLUMNS]


def where_known(
    cold: pd.DataFrame, warm: pd.DataFrame, model: MethodModel, suite: str
) -> pd.DataFrame:
    """The cold rows, but the warm ones for pairs with a model whose outcomes are known.

    Pairs are taken whole, and only where the warm model finds its metrics.

    Parameters
    ----------
    cold, warm : rows of the same pairs in the same order, as `forecast_method` returns them.
    model : the warm model.
    suite : the suite that the caller named; rows of any other stay cold, also where the model knows
        that suite too.
    """
    known = {label for owner, label in model.known_models if owner == suite}
    pair = cold.groupby(["suite", "left", "right"], sort=False).ngroup()
    defined = warm["retention"].notna().groupby(pair).transform("all")
    sides = zip(cold["suite"], cold["left"], cold["right"], strict=True)
    there = np.array([here == suite and bool({a, b} & known) for here, a, b in sides])
    return cold.where(~(defined & there), warm.assign(basis=WARM))


def _linear(model: MethodModel, seen: pd.DataFrame) -> tuple[Floats, list[Reasons]]:
    """Forecasts (n,), and what moved each, by a sum of metrics."""
    used = [feature for feature in model.features if feature.coefficient != 0]
    names = [feature.name for feature in used]
    values = seen.reindex(columns=names).to_numpy(dtype="float64")
    weights = np.array([feature.coefficient for feature in used])
    means = np.array([feature.mean for feature in used])
    scales = np.array([feature.scale for feature in used])
    # Beyond the range of training the effect of a metric was never tested: it goes no further.
    low, high = (np.array([getattr(feature, end) for feature in used]) for end in ("low", "high"))
    contributions = weights * (within(values, low, high, model.reach) - means) / scales
    # NaN in any needed metric makes the sum, hence the row, NaN.
    reasons = [sorted_reasons(names, *row) for row in zip(values, contributions, strict=True)]
    return model.intercept + contributions.sum(axis=1), reasons


def _half_width(quantiles: list[Quantile], level: float) -> float:
    for quantile in quantiles:
        if math.isclose(quantile.level, level):
            return math.inf if quantile.half_width is None else quantile.half_width
    known = ", ".join(f"{quantile.level:g}" for quantile in quantiles)
    raise UsageError(f"level {level:g}", "not stored in the forecaster", f"use one of {known}")


def _out_of_range(features: list[Feature], seen: pd.DataFrame) -> list[list[tuple[float, str]]]:
    """For each row (distance in widths, metric) outside the training range, the farthest first."""
    outside: list[list[tuple[float, str]]] = [[] for _ in range(len(seen))]
    for feature in features:
        if feature.name not in seen.columns:
            continue
        column = seen[feature.name].to_numpy(dtype="float64")
        width = feature.high - feature.low
        slack = _RANGE_SLACK * max(width, abs(feature.low), abs(feature.high))
        excess = np.maximum(column - feature.high, feature.low - column)
        for row in np.flatnonzero(excess > slack):
            distance = excess[row] / width if width > 0 else math.inf
            outside[row].append((distance, feature.name))
    return [sorted(row, key=lambda entry: (-entry[0], entry[1])) for row in outside]


def _note(
    method: str, model: MethodModel, pairs: pd.DataFrame, row: pd.Series, needed: list[str]
) -> str:
    if not needed:
        return f"{model.why}: the mean retention of the {model.n_pairs} training pairs of {method}"
    for key in needed:
        if key not in row.index:
            return f"metric {key} missing: not in the pair table"
        if pd.isna(row[key]):
            reason = reason_missing(pairs, row["suite"], row["left"], row["right"], key, method)
            return f"metric {key} missing: {reason}"
    return ""
