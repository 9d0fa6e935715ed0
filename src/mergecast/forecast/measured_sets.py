"""Sets ranked with what merges of some sets of the same size did."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mergecast.forecast.effects_posterior import Codes, Rows, posterior
from mergecast.forecast.measured import own_errors, usable_merges
from mergecast.forecast.measured_use import MeasuredUse
from mergecast.forecast.rows import MEASURED
from mergecast.forecast.sets import Correction, Sets, rank_all_sets
from mergecast.tables.outcomes import OutcomeTable
from mergecast.typing import Floats

#: What a rule on pairs is off by at least, as a standard deviation: it does not know the size.
_LEAST_ERROR = 0.05


def rank_with_measured(
    rows: pd.DataFrame,
    size: int,
    outcomes: OutcomeTable,
    level: float,
    source: Correction | None = None,
) -> tuple[pd.DataFrame, MeasuredUse]:
    """All sets as `rank_all_sets`, moved by the measured ones.

    In a set that was not measured, a member's part moves by what the size does to the method and to
    the member; in a measured one it is what was measured, less its noise.

    Parameters
    ----------
    rows : DataFrame
        Member rows of pairs of one suite, as `Forecast.rows`.
    size : int
        Members of a set, three or more.
    outcomes : OutcomeTable
        What merges of such sets did.
    level : float
        Nominal level of the rows' intervals.
    source : callable, optional
        What members keep, in the place of the rule on pairs.

    Returns
    -------
    table : DataFrame
        As of `rank_all_sets`, with `lower` and `upper`: of sets that were measured, whose `basis`
        says so, as what was measured and all else leave it; NaN of others.
    use : MeasuredUse
        What the measured sets changed.

    Raises
    ------
    UsageError
        As `with_measured` and `rank_all_sets`.
    """
    known, left_out = usable_merges(rows, outcomes, size)
    merges = dict.fromkeys(zip(known["method"], known["members"], strict=True))
    by_rule: dict[tuple[str, str], Floats] = {}

    def read(method: str, names: list[str], sets: Sets, each: Floats) -> Floats:
        each = source(method, names, sets, each) if source else each
        by_rule.update({(method, n): each[i] for i, n in enumerate(names) if (method, n) in merges})
        return each

    before = rank_all_sets(rows, size, read)
    # A set's members are sorted in both.
    forecast = np.concatenate([by_rule[merge] for merge in merges])
    shifts, kept, variance = _learned(rows, known, forecast, level)
    found = dict(zip(merges, kept.reshape(-1, size), strict=True))
    # Members are measured on samples of their own, so that their errors are apart.
    spread = np.sqrt(variance.reshape(-1, size).sum(axis=1)) / size
    half = dict(zip(merges, ndtri((1 + level) / 2) * spread, strict=True))

    def correct(method: str, names: list[str], sets: Sets, each: Floats) -> Floats:
        each = source(method, names, sets, each) if source else each
        moved = np.maximum(each + shifts[method][sets], 0.0)
        for i, name in enumerate(names):
            if (method, name) in found:
                moved[i] = found[method, name]
        return moved

    after = rank_all_sets(rows, size, correct)
    keys = list(zip(after["method"], after["members"], strict=True))
    ends = np.array([half.get(key, np.nan) for key in keys])
    after = after.assign(
        basis=after["basis"].mask(np.isfinite(ends), MEASURED),
        lower=(after["retention"] - ends).clip(lower=0.0),
        upper=after["retention"] + ends,
    )
    both = after.merge(before, on=["method", "members"], suffixes=("", "_before"))
    fresh = [key not in merges for key in zip(both["method"], both["members"], strict=True)]
    change = (both["retention"] - both["retention_before"])[fresh].dropna()
    return after, MeasuredUse.of(known, change.to_numpy(), left_out, size)


def _learned(
    rows: pd.DataFrame, known: pd.DataFrame, forecast: Floats, level: float
) -> tuple[dict[str, Floats], Floats, Floats]:
    """By method the shift of each model in any set (in sorted order), and what known members keep,
    with its variance.

    `forecast` is by the rule, of the rows of `known`.
    """
    models = {name: i for i, name in enumerate(sorted({*rows["left"], *rows["right"]}))}
    methods = {name: i for i, name in enumerate(sorted(rows["method"].unique()))}
    least = pd.Series(own_errors(rows, level), rows.index).groupby(rows["method"]).min()
    errors = np.maximum(least.reindex(list(methods)).to_numpy(), _LEAST_ERROR)

    def coded(method: Codes, member: Codes, members: Codes) -> Rows:
        scale = errors[method]
        common = np.full(len(method), errors.min())
        return Rows(method, member, members, np.zeros(len(method)), scale, scale, common)

    seen = coded(
        known["method"].map(methods).to_numpy(),
        known["member"].map(models).to_numpy(),
        pd.factorize(known["members"])[0],
    )
    method, member = np.indices((len(methods), len(models))).reshape(2, -1)
    measured, noise = (known[name].to_numpy(dtype="float64") for name in ("measured", "variance"))
    has = np.isfinite(forecast)
    if not has.any():
        return {name: np.zeros(len(models)) for name in methods}, measured, noise
    given = (seen.take(has), (measured - forecast)[has], noise[has])
    shift, _ = posterior(*given, coded(method, member, np.full(len(method), -1)))
    kept, variance = measured.copy(), noise.copy()
    moved, spread = posterior(*given, given[0])
    kept[has], variance[has] = forecast[has] + moved, np.fmin(spread, noise[has])
    return dict(zip(methods, shift.reshape(len(methods), -1), strict=True)), kept, variance
