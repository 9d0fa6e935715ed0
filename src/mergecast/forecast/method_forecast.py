"""A forecaster's models applied to pairs: numbers, intervals, range and reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from mergecast.errors import UsageError
from mergecast.forecast.domain import outliers, strangers
from mergecast.forecast.estimators.predictors import checked_numbers
from mergecast.forecast.few_samples import FewSamples, widened
from mergecast.forecast.file import ForecasterFile, MethodModel, Quantile
from mergecast.forecast.intervals import BETWEEN, spread
from mergecast.forecast.result import ROW_COLUMNS
from mergecast.forecast.rows import (
    ABSTAINED,
    COLD,
    MEASURED,
    WARM,
    member_rows,
    reason_missing,
)
from mergecast.tables.pairs import PAIR_KEYS, PairTable
from mergecast.typing import Floats

N_REASONS = 3
OUT_OF_DOMAIN = "out of domain"
NOTHING_CARRIES = "nothing here tells what other models keep"
"""Where no metric beats the mean of the kinds of models that a fit has seen."""


def forecast_rows(
    file: ForecasterFile, tier: str, pairs: PairTable, level: float, suite: str | None = None
) -> pd.DataFrame:
    """Member rows of every pair and method, sorted, as `Forecast.rows`.

    A row for which a metric of the tier is missing is forecast from the next cheaper tier that has
    a number, and its note says so: a task without labels, among others that have some, is forecast
    from its answers.

    Parameters
    ----------
    file : ForecasterFile
        All that the forecaster knows.
    tier : str
        One of its tiers of evidence.
    pairs : PairTable
        Metrics of new models.
    level : float
        Nominal level of the intervals.
    suite : str, optional
        The suite whose labels name models of the forecaster.
    """
    tiers = [*file.tiers]
    reached = reversed(tiers[: tiers.index(tier) + 1])
    rows, *cheaper = (_of_tier(file, name, pairs, level, suite) for name in reached)
    for table in cheaper:
        lacking = rows["retention"].isna() & (rows["basis"] != ABSTAINED)
        found = lacking & table["retention"].notna()
        rows = rows.where(~found, table.assign(note="from less evidence: " + rows["note"]))
    return rows


def _of_tier(
    file: ForecasterFile, tier: str, pairs: PairTable, level: float, suite: str | None
) -> pd.DataFrame:
    """Member rows from one tier, by its warm models where they know a model of the pair."""
    warm, tables = file.warm.get(tier, {}), []
    for method, entry in sorted(file.tiers[tier].items()):
        table = forecast_method(method, entry, pairs, level, suite)
        if suite is not None and method in warm:
            beside = forecast_method(method, warm[method], pairs, level, suite)
            table = where_known(table, beside, warm[method], suite)
        tables.append(table)
    rows = pd.concat(tables, ignore_index=True)
    rows = rows.sort_values(["suite", "left", "right", "method"], kind="stable")
    return rows.reset_index(drop=True)


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
    numbers = checked_numbers(numbers, len(rows), entry.predictor)
    notes = _notes(method, entry, pairs, rows)
    far = strangers(entry, rows)
    nothing = entry.between_suites and not entry.needs
    unknown = (rows["suite"] != suite).to_numpy() & nothing
    abstained = np.array([bool(row) for row in far], dtype=bool) | unknown
    most = math.inf if entry.most_kept is None else entry.most_kept
    numbers = np.where(abstained, np.nan, np.clip(numbers, 0.0, most))
    # Nothing was tested out there: an interval grows with the distance of the farthest metric, in
    # widths of its training range, up to where its effect has faded out.
    outside, fading = outliers(entry, rows, entry.needs), entry.model.fading
    distances = [
        [min(one.distance, fading.get(one.metric, math.inf)) for one in row] for row in outside
    ]
    excess = [max(row, default=0.0) for row in distances]
    half = _half_widths(entry, rows, level, suite) * (1 + np.array(excess))
    half *= spread(numbers, entry.least_loss, entry.model.apart(rows))
    if not entry.between_suites:
        half *= np.where(rows["suite"] == suite, 1.0, BETWEEN)
    few = FewSamples.of(pairs).variance(numbers, rows["member"].tolist())
    half = widened(half, np.nan_to_num(few), level)
    table = rows[["suite", "left", "right", "member"]].assign(
        method=method,
        basis=np.where(abstained, ABSTAINED, COLD),
        retention=numbers,
        lower=numbers - half,
        upper=numbers + half,
        note=[
            f"{OUT_OF_DOMAIN}: {row[0] if row else NOTHING_CARRIES}" if said else note
            for said, row, note in zip(abstained, far, notes, strict=True)
        ],
    )
    # As Series, since lists of one length would make a table of their own.
    farthest = [[one.metric for one in row] for row in outside]
    table["out_of_range"] = pd.Series(farthest, index=table.index, dtype=object)
    shown = [[] if said else row[:N_REASONS] for said, row in zip(abstained, reasons, strict=True)]
    table["reasons"] = pd.Series(shown, index=table.index, dtype=object)
    return bounded(table, {method: entry.most_kept})[ROW_COLUMNS]


def at_most(entry: MethodModel, numbers: Floats) -> Floats:
    """The numbers, none above the most that the method was seen to keep."""
    return np.asarray(np.minimum(numbers, math.inf if entry.most_kept is None else entry.most_kept))


def interval_of_new(
    entry: MethodModel,
    numbers: Floats,
    level: float,
    alone: Floats | None = None,
    others: int = 1,
    few: Floats | float = 0.0,
) -> tuple[Floats, Floats]:
    """The interval of numbers forecast for models never seen, lower and upper ends, (n,) each.

    Parameters
    ----------
    entry : MethodModel
        The method's part of the forecaster file.
    numbers : (n,) array
        Retention of members, or means of members.
    level : float
        Nominal level, one that the file has.
    alone : (n,) array, optional
        What the same members, or means of them, keep alone: what numbers that are superposed
        lie apart from, where the method's part says how far that matters.
    others : int
        Models beside each member. What they do to it adds up, and how far that is off in the root
        of their number.
    few : (n,) array or float
        Variance that few samples add; see `FewSamples`.
    """
    apart = None
    if alone is not None and entry.model.tells_apart:
        apart = np.abs(numbers - alone) / math.sqrt(others)
    half = _half_width(entry.residual_quantiles, level) * spread(numbers, entry.least_loss, apart)
    half *= 1.0 if entry.between_suites else BETWEEN
    half = widened(half, few, level)
    most = math.inf if entry.most_kept is None else max(entry.most_kept, 1.0)
    return np.clip(numbers - half, 0.0, most), np.clip(numbers + half, 0.0, most)


def bounded(rows: pd.DataFrame, most: Mapping[str, float | None]) -> pd.DataFrame:
    """The rows, numbers and intervals within what retention can be.

    No number is above the most that a member was ever seen to keep: in training, or where merges of
    this family were measured in one of them. No interval goes above that or 1, whichever is more.
    What was measured itself stays as it is.

    Parameters
    ----------
    rows : DataFrame
        As `Forecast.rows`.
    most : mapping of str to float or None
        By merging method, the most kept in training; None where that is not known.
    """
    measured = rows["basis"] == MEASURED
    seen = rows[measured].groupby("method")["retention"].max()
    limits = {
        method: math.inf if value is None else max(value, seen.get(method, value))
        for method, value in most.items()
    }
    ceiling = rows["method"].map(limits).where(~measured, math.inf)
    return rows.assign(
        retention=rows["retention"].clip(lower=0.0, upper=ceiling),
        lower=rows["lower"].clip(lower=0.0, upper=ceiling),
        upper=rows["upper"].clip(lower=0.0, upper=ceiling.clip(lower=1.0)),
    )


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
    """The quantile that each row's interval is made of, (n,)."""
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
