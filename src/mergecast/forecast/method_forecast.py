"""One merging method's model applied to pairs: numbers, intervals, range and reasons."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from mergecast.errors import UsageError
from mergecast.forecast.estimators.predictors import checked_numbers
from mergecast.forecast.file import Feature, MethodModel, Quantile
from mergecast.forecast.result import COLD, ROW_COLUMNS, WARM
from mergecast.forecast.rows import member_rows, reason_missing
from mergecast.tables.pairs import PAIR_KEYS, PairTable
from mergecast.typing import Floats

N_REASONS = 3

# A metric recomputed on the training pairs may differ in its last digits.
_RANGE_SLACK = 1e-9


def forecast_method(
    method: str, entry: MethodModel, pairs: PairTable, level: float, suite: str | None = None
) -> pd.DataFrame:
    """Forecast member rows under one method.

    Parameters
    ----------
    method : str
        The method's name.
    entry : MethodModel
        Its part of the forecaster file.
    pairs : DataFrame
        The validated pair table.
    level : float
        Nominal level of the intervals.
    suite : str, optional
        The suite whose labels name models of the forecaster.

    Returns
    -------
    DataFrame
        As `Forecast.rows`, `basis` ``cold``.

    Raises
    ------
    UsageError
        A level that the file lacks; a stored model that gives no number for each row.
    """
    rows = member_rows(pairs, method)
    numbers, reasons = entry.model.predict(rows, suite)
    retention = np.maximum(checked_numbers(numbers, len(rows), entry.predictor), 0.0)
    # Metrics that do not move the number may be where they like.
    needs, fading = set(entry.needs), entry.model.fading
    outside = _out_of_range([one for one in entry.features if one.name in needs], rows)
    # Nothing was tested out there: an interval grows with the distance of the farthest metric, in
    # widths of its training range, up to where its effect has faded out.
    distances = [
        [min(distance, fading.get(name, math.inf)) for distance, name in row] for row in outside
    ]
    excess = [max(row, default=0.0) for row in distances]
    half = _half_widths(entry, rows, level, suite) * (1 + np.array(excess))
    table = rows[["suite", "left", "right", "member"]].assign(
        method=method,
        basis=COLD,
        retention=retention,
        lower=np.maximum(retention - half, 0.0),
        upper=retention + half,
        note=_notes(method, entry, pairs, rows),
    )
    # As Series, since lists of one length would make a table of their own.
    farthest = [[name for _, name in row] for row in outside]
    table["out_of_range"] = pd.Series(farthest, index=table.index, dtype=object)
    shown = [row[:N_REASONS] for row in reasons]
    table["reasons"] = pd.Series(shown, index=table.index, dtype=object)
    return table[ROW_COLUMNS]


def where_known(
    cold: pd.DataFrame, warm: pd.DataFrame, entry: MethodModel, suite: str
) -> pd.DataFrame:
    """The cold rows, but the warm ones for pairs with a model whose outcomes are known.

    Pairs are taken whole, and only where the warm model finds its metrics.

    Parameters
    ----------
    cold, warm : DataFrame
        Rows of the same pairs in the same order, as `forecast_method` returns them.
    entry : MethodModel
        The warm model.
    suite : str
        The suite that the caller named; rows of any other stay cold, also where the model knows
        that suite too.
    """
    labels = {label for owner, label in entry.known_models if owner == suite}
    pair = cold.groupby(["suite", "left", "right"], sort=False).ngroup()
    defined = warm["retention"].notna().groupby(pair).transform("all")
    sides = zip(cold["suite"], cold["left"], cold["right"], strict=True)
    one_known = np.array([owner == suite and bool({a, b} & labels) for owner, a, b in sides])
    return cold.where(~(defined & one_known), warm.assign(basis=WARM))


def _half_widths(entry: MethodModel, rows: pd.DataFrame, level: float, suite: str | None) -> Floats:
    """Half the width of each row's interval within the training range, (n,)."""
    half = np.full(len(rows), _half_width(entry.residual_quantiles, level))
    if suite is None or not entry.known_quantiles:
        return half
    models, members = entry.known_models, zip(rows["suite"], rows["member"], strict=True)
    has_outcomes = [owner == suite and (owner, name) in models for owner, name in members]
    return np.where(has_outcomes, _half_width(entry.known_quantiles, level), half)


def _half_width(quantiles: list[Quantile], level: float) -> float:
    for quantile in quantiles:
        if math.isclose(quantile.level, level):
            return math.inf if quantile.half_width is None else quantile.half_width
    levels = ", ".join(f"{quantile.level:g}" for quantile in quantiles)
    raise UsageError(f"level {level:g}", "not stored in the forecaster", f"use one of {levels}")


def _out_of_range(features: list[Feature], rows: pd.DataFrame) -> list[list[tuple[float, str]]]:
    """For each row (distance in widths, metric) outside the training range, the farthest first."""
    outside: list[list[tuple[float, str]]] = [[] for _ in range(len(rows))]
    for feature in features:
        if feature.name not in rows.columns:
            continue
        column = rows[feature.name].to_numpy(dtype="float64")
        width = feature.high - feature.low
        slack = _RANGE_SLACK * max(width, abs(feature.low), abs(feature.high))
        excess = np.maximum(column - feature.high, feature.low - column)
        for row in np.flatnonzero(excess > slack):
            distance = excess[row] / width if width > 0 else math.inf
            outside[row].append((distance, feature.name))
    return [sorted(row, key=lambda entry: (-entry[0], entry[1])) for row in outside]


def _notes(method: str, entry: MethodModel, pairs: PairTable, rows: pd.DataFrame) -> list[str]:
    """Why there are no reasons, or no number, for each row; empty where there are."""
    if not entry.needs:
        mean = f"the mean retention of the {entry.n_pairs} training pairs of {method}"
        return [f"{entry.why}: {mean}"] * len(rows)
    gaps = rows.reindex(columns=entry.needs).isna()
    notes = [""] * len(rows)
    for row in np.flatnonzero(gaps.any(axis=1)):
        key = str(gaps.iloc[row].idxmax())
        suite, left, right = rows[PAIR_KEYS].iloc[row]
        reason = "not in the pair table"
        if key in rows.columns:
            reason = reason_missing(pairs, suite, left, right, key, method)
        notes[row] = f"metric {key} missing: {reason}"
    return notes
