"""The paper's linear fits, kept to reproduce its tables: -corr(Xw, y) + λ‖w‖₁, and its MSE.

Neither is a good estimator, for reasons of its own: correlation ignores scale, so the first
objective always improves by shrinking w and what is reported is where Adam stopped; the second has
no intercept and weights that must sum to one. Their well-posed forms are `TaskLasso` and
`least_squares`. What the paper's text leaves open (scaling, start, which iterate) was settled by
the released fits: number of iterations, of non-zero coefficients, and training correlation agree.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.forecast.estimators.adam import adam
from mergecast.forecast.estimators.pairs import PairRegressor
from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.estimators.scaling import PoorScore
from mergecast.runtime.seeds import derived_seed
from mergecast.typing import Floats

# Standard deviation of the initial weights; weights smaller than the cutoff end as 0.
_START, _CUTOFF = 0.1, 1e-3


class _PublishedLinear(PoorScore, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Min-max scaled metrics, one row a pair, weights from a random start; abstract.

    The scaling is not scikit-learn's `MinMaxScaler`, which multiplies by 1 / width: thousands of
    steps on an objective with corners carry the last digit to the first.

    Attributes
    ----------
    coef_ : ndarray of shape (p,)
        Weights w, as published.
    slope_, intercept_ : float
        Of the line from Zw to the prediction.
    low_, width_ : ndarray of shape (p,)
        Of the min-max scaling.
    n_iter_ : int
        Steps taken.
    """

    random_state: int

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on pairs; X (n, p), y (n,) outcomes."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        y = np.asarray(y, dtype=np.float64)
        self.low_ = X.min(axis=0)
        width = X.max(axis=0) - self.low_
        # A constant column is nowhere on its range: it gets no effect. Rounding is no range: the
        # shares of two members sum to one, and their pair means differ in the last digit.
        constant = width <= 1e-12 * np.abs(X).max(axis=0, initial=0.0)
        self.width_ = np.where(constant, np.inf, width)
        # The published fits drew on through the folds: two training sets never start alike.
        seed = derived_seed(self.random_state, hashlib.sha256(y.tobytes()).hexdigest())
        start = _START * np.random.default_rng(seed).normal(size=X.shape[1])
        self._solve((X - self.low_) / self.width_, y, start)
        return self

    def predict(self, X: Any) -> Floats:
        """Predicted outcome, (n,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        scaled = (X - self.low_) / self.width_
        return np.asarray(scaled @ self.coef_ * self.slope_ + self.intercept_)

    def _solve(self, Z: Floats, y: Floats, start: Floats) -> None:
        """Set coef_, slope_, intercept_ and n_iter_."""
        raise NotImplementedError


class PearsonL1(_PublishedLinear):
    """The paper's predictor: min -corr(Zw, y) + penalty ‖w‖₁ by Adam, Z min-max scaled.

    Correlation fixes neither scale nor offset of Zw. So that errors can be measured at all, the
    prediction is the line through (Zw, y) on the training pairs; this leaves each fold's r as it
    is, and changes what is pooled over folds.

    Parameters
    ----------
    penalty : float
        λ; 0 is the unregularised Pearson objective.
    random_state : int
        Seed of the start, with the outcomes fitted. The result depends on it.

    References
    ----------
    "Demystifying Mergeability", arXiv 2601.22285.
    """

    def __init__(self, penalty: float = 1.0, random_state: int = 0) -> None:
        self.penalty = penalty
        self.random_state = random_state

    def _solve(self, Z: Floats, y: Floats, start: Floats) -> None:
        centre = Z.mean(axis=0)
        Z = Z - centre
        spread = float(np.linalg.norm(y - y.mean()))
        target = (y - y.mean()) / spread if spread > 0 else np.zeros_like(y)
        gram, moment = Z.T @ Z, Z.T @ target

        def objective(w: Floats) -> tuple[float, Floats]:
            image = gram @ w
            norm = math.sqrt(max(float(w @ image), 0.0))
            penalty = self.penalty * float(np.sum(np.abs(w)))
            slope = self.penalty * np.sign(w)
            if norm < 1e-12:  # a constant prediction correlates with nothing
                return penalty, slope
            r = float(w @ moment) / norm
            return penalty - r, slope - moment / norm + r * image / norm**2

        w, self.n_iter_ = adam(
            objective, start, learning_rate=0.01, max_iter=2000, patience=100, tol=1e-5
        )
        self.coef_ = np.where(np.abs(w) < _CUTOFF, 0.0, w)
        variance = float(self.coef_ @ gram @ self.coef_)
        effect = float(self.coef_ @ moment) * spread
        self.slope_ = effect / variance if variance > 1e-24 else 0.0
        self.intercept_ = float(y.mean() - self.slope_ * (self.coef_ @ centre))


class PublishedMSE(_PublishedLinear):
    """The paper's MSE baseline: min mean (Zw - y)², no intercept, Σw = 1 after every step.

    Where the weights' sum is near 0, dividing by it throws them far away; the published R² below
    -10⁴ are that. `least_squares` is the same objective done properly.

    Parameters
    ----------
    random_state : int
        Seed of the start.
    """

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def _solve(self, Z: Floats, y: Floats, start: Floats) -> None:
        def objective(w: Floats) -> tuple[float, Floats]:
            error = Z @ w - y
            return float(error @ error) / len(y), 2 * (Z.T @ error) / len(y)

        self.coef_, self.n_iter_ = adam(
            objective,
            start,
            learning_rate=0.01,
            max_iter=1000,
            patience=50,
            tol=1e-6,
            project=lambda w: w / w.sum(),
        )
        self.slope_, self.intercept_ = 1.0, 0.0


@predictor("paper", "the paper's fit: -r + λ‖w‖₁, λ = 1")
@predictor("pearson", "the paper's fit without penalty", penalty=0.0)
def pearson_l1(penalty: float = 1.0) -> PairRegressor:
    """`PearsonL1` on pairs."""
    return PairRegressor(PearsonL1(penalty))


@predictor("paper_mse", "the paper's squared-error baseline")
def published_mse() -> PairRegressor:
    """`PublishedMSE` on pairs."""
    return PairRegressor(PublishedMSE())
