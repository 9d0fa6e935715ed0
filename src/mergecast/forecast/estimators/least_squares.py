"""Least squares on pairs, and backward elimination from it.

Of all linear combinations of the metrics the least-squares fit is also the one that correlates most
with the outcome on the training rows: "MSE done properly" and "Pearson without a penalty" are one
problem.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.forecast.estimators.pairs import PairRegressor
from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.estimators.scaling import Standardise, standardisation
from mergecast.typing import Floats


@predictor("mse", "least squares, also the unpenalised best correlation")
def least_squares() -> PairRegressor:
    """Ordinary least squares on pairs; of equally good solutions the smallest."""
    return PairRegressor(make_pipeline(Standardise(), LinearRegression()))


@predictor("backward", "least squares on metrics that matter to r")
def backward_elimination(max_drop: float = 1e-3) -> PairRegressor:
    """`BackwardElimination` on pairs."""
    return PairRegressor(BackwardElimination(max_drop))


class BackwardElimination(RegressorMixin, BaseEstimator):  # type: ignore[misc]
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
        Which metrics stayed.
    coef_ : ndarray of shape (p,)
        Outcome per standard deviation of each metric, 0 of those dropped.
    intercept_ : float
        Mean outcome.
    mean_, scale_ : ndarray of shape (p,)
        Of the training rows.
    """

    def __init__(self, max_drop: float = 1e-3) -> None:
        self.max_drop = max_drop

    def fit(self, X: Any, y: Any) -> Self:
        """Choose and fit; X (n, p), y (n,)."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self.mean_, self.scale_ = standardisation(X)
        self.intercept_ = float(y.mean())
        Z, y = (X - self.mean_) / self.scale_, y - self.intercept_
        kept = self._choose(Z, y)
        self.support_ = np.isin(np.arange(X.shape[1]), kept)
        self.coef_ = np.zeros(X.shape[1])
        self.coef_[kept] = _solve(Z[:, kept], y)
        return self

    def predict(self, X: Any) -> Floats:
        """Predicted outcome, (n,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray((X - self.mean_) / self.scale_ @ self.coef_ + self.intercept_)

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
