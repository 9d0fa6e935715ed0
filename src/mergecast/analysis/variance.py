"""How much of a pair's value is a sum of two single-model effects: y_ij = μ + a_i + a_j.

A share near 1 says that the value is (nearly) intrinsic to the models; what it leaves is about the
pair. With n tasks the model has n parameters for n(n-1)/2 pairs, so pure noise has an expected
share of about 2/n: read small shares against that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mergecast.errors import TableError
from mergecast.forecast.validation.scoring import is_constant, pearson
from mergecast.tables.outcomes import OutcomesLike, as_outcomes
from mergecast.tables.pairs import PAIR_KEYS, PairsLike, PairTable, as_pairs
from mergecast.typing import Floats


@dataclass(frozen=True)
class AdditiveFit:
    """The least-squares fit of y_ij = μ + a_i + a_j.

    Attributes
    ----------
    share : float
        1 − residual sum of squares / total sum of squares; NaN where it is undefined (a constant y,
        or no more pairs than parameters).
    effects : Series
        a_i by task, summing to 0.
    residuals : Floats
        (n,) what the pairs add, in the order of the pairs.
    """

    share: float
    effects: pd.Series
    residuals: Floats


def additive_fit(left: object, right: object, y: object) -> AdditiveFit:
    """Fit the additive model to one value a pair.

    Parameters
    ----------
    left, right : array-like of str
        (n,) names of each pair's tasks.
    y : array-like of float
        (n,) finite values.

    Raises
    ------
    TableError
        A value is not finite.
    """
    left, right = np.asarray(left, dtype=str), np.asarray(right, dtype=str)
    y = np.asarray(y, dtype=np.float64)
    if not np.isfinite(y).all():
        row = int(np.flatnonzero(~np.isfinite(y))[0])
        raise TableError(
            f"pair {left[row]} + {right[row]}", f"value is {y[row]}", "leave the pair out"
        )
    tasks = np.unique([left, right])
    design = np.zeros((len(y), len(tasks)))
    design[np.arange(len(y)), np.searchsorted(tasks, left)] = 1.0
    design[np.arange(len(y)), np.searchsorted(tasks, right)] += 1.0
    # Every row of the design sums to 2, so the constant is in its span and needs no column.
    centred = y - y.mean()
    effects, _, rank, _ = np.linalg.lstsq(design, centred, rcond=None)
    residuals = centred - design @ effects
    total = float(centred @ centred)
    defined = rank < len(y) and not is_constant(y)
    share = 1.0 - float(residuals @ residuals) / total if defined else np.nan
    return AdditiveFit(share, pd.Series(effects - effects.mean(), index=tasks), residuals)


def metric_values(pairs: PairTable, method: str | None = None) -> pd.DataFrame:
    """One column a metric: a directed one as the mean of its two directions; rows as in `pairs`.

    With a method, those that say something of it, under names without it.
    """
    features = pairs.features() if method is None else pairs.method_features(method)
    return pd.DataFrame(
        {
            key: pairs.frame[list(columns)].mean(axis=1, skipna=False)
            for key, columns in features.items()
        }
    )


def keyed_metrics(pairs: PairTable, method: str | None = None) -> pd.DataFrame:
    """`metric_values` beside the keys of the pairs."""
    return pd.concat([pairs.frame[PAIR_KEYS], metric_values(pairs, method)], axis=1)


def metric_shares(pairs: PairsLike) -> dict[str, float]:
    """Additive share of each metric, over the pairs where it is there; suites side by side.

    Returns metric key to share, sorted by key.
    """
    pairs = as_pairs(pairs)
    tasks = _qualified(pairs.frame)
    return {str(key): _share(tasks, values) for key, values in metric_values(pairs).items()}


def outcome_shares(outcomes: OutcomesLike) -> dict[str, float]:
    """Additive share of the mean retention of a pair, by merging method, sorted."""
    return {
        str(method): _share(_qualified(rows), rows["retention"])
        for method, rows in as_outcomes(outcomes).pairs().groupby("method", sort=True)
    }


def residual_correlations(pairs: PairsLike, outcomes: OutcomesLike) -> pd.DataFrame:
    """Pearson's r between metric and outcome after taking the additive part out of both.

    Returns a frame, one row a metric, one column a merging method; over the pairs that have both.
    NaN where either is purely additive.
    """
    pairs = as_pairs(pairs)
    by_method = {}
    for method, rows in as_outcomes(outcomes).pairs().groupby("method", sort=True):
        metrics = keyed_metrics(pairs, str(method))
        joined = rows.merge(metrics, on=PAIR_KEYS)
        keys = metrics.columns.drop(PAIR_KEYS)
        by_method[str(method)] = {key: _residual_r(joined, key) for key in keys}
    return pd.DataFrame(by_method).sort_index()


def _residual_r(joined: pd.DataFrame, key: str) -> float:
    rows = joined[joined[[key, "retention"]].notna().all(axis=1)]
    tasks = _qualified(rows)
    x, y = (additive_fit(*tasks, rows[name]) for name in (key, "retention"))
    if not (x.share < 1.0 and y.share < 1.0):  # NaN too: nothing is left, or nothing was there
        return np.nan
    return pearson(x.residuals, y.residuals)


def _share(tasks: tuple[pd.Series, pd.Series], values: pd.Series) -> float:
    present = values.notna().to_numpy()
    if not present.any():
        return np.nan
    left, right = (names[present] for names in tasks)
    return additive_fit(left, right, values[present]).share


def _qualified(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Tasks by suite: the model of a task in another suite is another model."""
    left, right = (frame["suite"] + "/" + frame[side] for side in ("left", "right"))
    return left, right
