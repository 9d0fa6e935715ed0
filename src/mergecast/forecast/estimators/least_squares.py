"""Least squares on pairs, and backward elimination from it.

Of all linear combinations of the metrics the least-squares fit is also the one that correlates most
with the outcome on the training rows: "MSE done properly" and "Pearson without a penalty" are one
problem.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from mergecast.forecast.estimators.pairs import PairRegressor
from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.estimators.scaling import ScaledLinear, Standardise
from mergecast.typing import Floats


@predictor("mse", "least squares, also the unpenalised best correlation")
def least_squares() -> PairRegressor:
    """Ordinary least squares on pairs; of equally good solutions the smallest."""
    return PairRegressor(make_pipeline(Standardise(), LinearRegression()))


@predictor("backward", "least squares on metrics that matter to r")
def backward_elimination() -> PairRegressor:
    """`BackwardElimination` on pairs."""
    return PairRegressor(BackwardElimination())


class BackwardElimination(ScaledLinear):
    """Drop the metric whose loss costs the training r least, while it costs at most `max_drop`.

    scikit-learn's `SequentialFeatureSelector` always takes the first step, whatever it costs, and
    scores by folds, of which each would be a fit.

    Parameters
    ----------
    max_drop : float
        Largest fall of Pearson's r on the training rows that one step may cause.

    Attributes
    ----------
    support_ : ndarray of shape (p,)
        Which metrics stayed; the others have `coef_` 0. Beside it, those of `ScaledLinear`.
    """

    def __init__(self, max_drop: float = 1e-3) -> None:
        self.max_drop = max_drop

    def fit(self, X: Any, y: Any) -> Self:
        """Choose and fit; X (n, p), y (n,)."""
        Z, y = self._learn_scale(X, y)
        self.intercept_ = float(y.mean())
        kept = self._choose(Z, y - self.intercept_)
        self.support_ = np.isin(np.arange(Z.shape[1]), kept)
        self.coef_ = np.zeros(Z.shape[1])
        self.coef_[kept] = _solve(Z[:, kept], y - self.intercept_)
        return self

    def _choose(self, Z: Floats, y: Floats) -> list[int]:
        kept: list[int] = np.flatnonzero(Z.any(axis=0)).tolist()
        r = _train_r(Z[:, kept], y)
        while len(kept) > 1:
            without = [[k for k in kept if k != out] for out in kept]
            scores = [_train_r(Z[:, columns], y) for columns in without]
            best = int(np.argmax(scores))
            if r - scores[best] > self.max_drop:
                break
            kept, r = without[best], scores[best]
        return kept


def _solve(Z: Floats, y: Floats) -> Floats:
    return np.asarray(np.linalg.lstsq(Z, y, rcond=None)[0])


def _train_r(Z: Floats, y: Floats) -> float:
    """Multiple correlation of centred y with centred columns: r of the least-squares fit."""
    fit = Z @ _solve(Z, y)
    total = float(y @ y)
    return float(np.sqrt(float(fit @ fit) / total)) if total > 0 else 0.0
