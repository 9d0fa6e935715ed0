"""Least squares with an intercept, and backward elimination from it.

Of all linear combinations of the metrics the least-squares fit is also the one that correlates most
with the outcome on the training rows: "MSE done properly" and "Pearson without a penalty" are one
problem.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.forecast.estimators.linear import Floats, standardisation, without_identity
from mergecast.forecast.pair_rows import mean_by_code, pair_codes


class LeastSquares(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ordinary least squares on pairs; of equally good solutions the smallest (`lstsq`).

    Attributes
    ----------
    coef_ : (p,) outcome per standard deviation of each metric; 0 for a constant one.
    mean_, scale_ : (p,) of the training pairs.
    intercept_ : mean outcome.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on pairs; X (n, p) or a frame that also has identity columns, y (n,)."""
        frame = X
        X, y = validate_data(self, without_identity(X), y, dtype=np.float64, y_numeric=True)
        codes = pair_codes(frame, len(y))
        X, y = mean_by_code(X, codes), mean_by_code(y, codes)
        self.mean_, self.scale_ = standardisation(X)
        self.intercept_ = float(y.mean())
        self.coef_ = self._solve((X - self.mean_) / self.scale_, y - self.intercept_)
        return self

    def predict(self, X: Any) -> Floats:
        """Predicted outcome, (n,)."""
        check_is_fitted(self)
        X = validate_data(self, without_identity(X), dtype=np.float64, reset=False)
        return np.asarray((X - self.mean_) / self.scale_ @ self.coef_ + self.intercept_)

    def _solve(self, Z: Floats, y: Floats) -> Floats:
        return np.asarray(np.linalg.lstsq(Z, y, rcond=None)[0])


class BackwardElimination(LeastSquares):
    """Drop the metric whose loss costs the training r least, while it costs at most `max_drop`.

    Parameters
    ----------
    max_drop : largest fall of Pearson's r on the training pairs that one step may cause.

    Attributes
    ----------
    support_ : (p,) which metrics stayed. The others as in `LeastSquares`.
    """

    def __init__(self, max_drop: float = 1e-3) -> None:
        self.max_drop = max_drop

    def _solve(self, Z: Floats, y: Floats) -> Floats:
        kept = list(np.flatnonzero(Z.any(axis=0)))
        r = self._train_r(Z, y, kept)
        while len(kept) > 1:
            without = [[k for k in kept if k != out] for out in kept]
            found = [self._train_r(Z, y, columns) for columns in without]
            best = int(np.argmax(found))
            if r - found[best] > self.max_drop:
                break
            kept, r = without[best], found[best]
        self.support_ = np.isin(np.arange(Z.shape[1]), kept)
        coef = np.zeros(Z.shape[1])
        coef[kept] = super()._solve(Z[:, kept], y)
        return coef

    def _train_r(self, Z: Floats, y: Floats, columns: list[Any]) -> float:
        """Multiple correlation of y with some columns: r of the least-squares fit."""
        fit = Z[:, columns] @ super()._solve(Z[:, columns], y)
        total = float(y @ y)
        return float(np.sqrt(float(fit @ fit) / total)) if total > 0 else 0.0
