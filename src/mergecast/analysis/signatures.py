"""Coefficient signatures: which metrics a fit leans on, for each merging method, and how steadily.

The published claim is that methods share few of their strongest metrics but agree on signs. Both
numbers are comparisons of *mean coefficients over folds*, one vector a method; here they stand
beside how much the same vector moves when only the seed of the solver changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from mergecast.errors import UndefinedError, UsageError
from mergecast.forecast.estimators.predictors import seeded
from mergecast.forecast.rows import IDENTITY
from mergecast.forecast.training import TrainingRows
from mergecast.forecast.validation.protocols import PROTOCOLS

TOP_K = 5


def signature(coefficients: pd.DataFrame) -> pd.DataFrame:
    """What the folds of one method agree on.

    Parameters
    ----------
    coefficients : DataFrame
        One row a fold, one column a metric.

    Returns
    -------
    DataFrame
        By metric: `mean`, `std` (population, over folds), `frequency` (share of folds with a
        coefficient other than 0) and `sign_frequency` (share of the non-zero ones with the sign of
        the mean), strongest mean first.
    """
    mean = coefficients.mean()
    used = coefficients != 0
    same = (np.sign(coefficients) == np.sign(mean)) & used
    table = pd.DataFrame(
        {
            "mean": mean,
            "std": coefficients.std(ddof=0),
            "frequency": used.mean(),
            "sign_frequency": same.sum() / used.sum().where(used.sum() > 0),
        }
    )
    return table.sort_values("mean", key=lambda means: -means.abs(), kind="stable")


def mean_coefficients(fits: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean over folds: one row a metric, one column a method (or seed).

    Raises
    ------
    UsageError
        The fits are not of the same metrics.
    """
    metrics: list[str] = []
    for name, folds in fits.items():
        metrics = metrics or list(folds.columns)
        if set(folds.columns) != set(metrics):
            odd = sorted(set(folds.columns) ^ set(metrics))
            raise UsageError(
                f"signature of {name}",
                f"metric {odd[0]!r} is not in all fits",
                "compare fits of the same metrics",
            )
    return pd.DataFrame({name: folds.mean() for name, folds in fits.items()}, index=metrics)


def top_overlap(means: pd.DataFrame, k: int = TOP_K) -> float:
    """Mean over pairs of columns of the share of the k largest |means| that both have.

    Equal magnitudes are ranked in row order. NaN with fewer than two columns or k rows.
    """
    if means.shape[1] < 2 or len(means) < k:
        return np.nan
    tops = [
        set(column.abs().sort_values(ascending=False, kind="stable").index[:k])
        for _, column in means.items()
    ]
    return float(np.mean([len(a & b) / k for a, b in combinations(tops, 2)]))


def sign_agreement(means: pd.DataFrame) -> float:
    """Mean over pairs of columns of the share of rows whose signs agree (0 agrees with 0)."""
    if means.shape[1] < 2 or means.empty:
        return np.nan
    signs = np.sign(means.to_numpy())
    pairs = combinations(range(signs.shape[1]), 2)
    return float(np.mean([(signs[:, a] == signs[:, b]).mean() for a, b in pairs]))


def fold_coefficients(
    rows: TrainingRows, estimator: Any, protocol: str = "loto", seed: int | None = None
) -> pd.DataFrame:
    """Coefficients of a linear predictor in every fold: one row a fold, one column a metric.

    Parameters
    ----------
    rows : TrainingRows
        Of one merging method.
    estimator : Any
        Unfitted scikit-learn regressor with `coef_` after `fit`.
    protocol : str
        What a fold holds out.
    seed : int, optional
        Its `random_state`, where it has one.

    Raises
    ------
    UndefinedError
        The fitted estimator has no coefficient a metric.
    """
    template = clone(estimator)
    if seed is not None:
        template = seeded(template, seed)
    metrics = [column for column in rows.X.columns if column not in IDENTITY]
    by_fold = {}
    for fold, train, _ in PROTOCOLS.get(protocol).folds(rows):
        fitted = clone(template).fit(rows.X.iloc[train], rows.y[train])
        values = np.ravel(getattr(fitted, "coef_", np.empty(0)))
        if len(values) != len(metrics):
            raise UndefinedError(
                type(estimator).__name__,
                f"has {len(values)} coefficients for {len(metrics)} metrics",
                "take the signature of a linear predictor such as lasso",
            )
        by_fold[fold] = pd.Series(values, index=metrics)
    return pd.DataFrame(by_fold).T


def seed_stability(
    rows: TrainingRows, estimator: Any, seeds: Sequence[int], protocol: str = "loto"
) -> tuple[float, float]:
    """`top_overlap` and `sign_agreement` of *one* method's signature between seeds.

    If these are not well above the numbers between methods, a signature says more about the seed
    than about the method. (1, 1) for a deterministic estimator; NaN with one seed.
    """
    means = mean_coefficients(
        {str(seed): fold_coefficients(rows, estimator, protocol, seed) for seed in seeds}
    )
    return top_overlap(means), sign_agreement(means)
