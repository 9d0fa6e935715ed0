"""Learners without a closed form: extra trees, a small network, and ridge on reshaped metrics."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.forecast.estimators.adam import adam
from mergecast.forecast.estimators.linear import TaskRidge
from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.estimators.scaling import MetricsOnly, OnMetrics, Standardise
from mergecast.typing import Floats

_UNITS, _DROPOUT = 8, 0.4
_LEARNING_RATE, _WEIGHT_DECAY = 0.01, 1e-3


@predictor("extra_trees", "extremely randomised trees")
def extra_trees(n_trees: int = 100, random_state: int = 0) -> Pipeline:
    """Extremely randomised trees on the metrics of member rows.

    References
    ----------
    Geurts, Ernst and Wehenkel, "Extremely randomized trees", 2006.
    """
    trees = ExtraTreesRegressor(n_trees, min_samples_leaf=3, random_state=random_state)
    return make_pipeline(MetricsOnly(), trees)


@predictor("power_ridge", "ridge on power-transformed metrics")
def power_ridge() -> Pipeline:
    """`TaskRidge` on Yeo-Johnson transformed metrics; norms and dot products are skewed.

    References
    ----------
    Yeo and Johnson, "A new family of power transformations", 2000.
    """
    # The transform's exponent is sought numerically: give it columns of like size.
    power = make_pipeline(Standardise(), PowerTransformer(standardize=False))
    return make_pipeline(OnMetrics(power), TaskRidge())


@predictor("mlp", "one hidden layer of 8 units, dropout 0.4")
def small_network(n_steps: int = 500, random_state: int = 0) -> Pipeline:
    """`SmallNetwork` on standardised metrics and outcomes."""
    network = SmallNetwork(n_steps=n_steps, random_state=random_state)
    scaled = TransformedTargetRegressor(network, transformer=StandardScaler())
    return make_pipeline(MetricsOnly(), Standardise(), scaled)


class SmallNetwork(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """The paper's non-linear baseline: one hidden layer of 8 ReLU units, dropout 0.4.

    Squared error, full batches, Adam; no early stopping, since rows held out for it would share
    tasks with those kept. scikit-learn's `MLPRegressor` has no dropout.

    Parameters
    ----------
    n_steps : int
        Of Adam.
    random_state : int
        Seed of the start and of dropout.

    Attributes
    ----------
    weights_ : list of ndarray
        Of shapes (p, h), (h,), (h,), ().
    """

    def __init__(self, n_steps: int = 500, random_state: int = 0) -> None:
        self.n_steps = n_steps
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Train; X (n, p) and y (n,), both of about unit spread."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        random = np.random.default_rng(self.random_state)
        p, h = X.shape[1], _UNITS
        self._shapes = [(p, h), (h,), (h,), ()]
        spreads = [np.sqrt(2 / p), 0.0, np.sqrt(1 / h), 0.0]
        start = [s * random.normal(size=k) for s, k in zip(spreads, self._shapes, strict=True)]

        def step(flat: Floats) -> tuple[float, Floats]:
            # Inverted dropout: the kept units are scaled up, so that predict needs no scaling.
            mask = (random.random((len(X), h)) >= _DROPOUT) / (1 - _DROPOUT)
            return 0.0, _flat(self._gradients(self._unflat(flat), X, y, mask))

        last, _ = adam(step, _flat(start), learning_rate=_LEARNING_RATE, max_iter=self.n_steps)
        self.weights_ = self._unflat(last)
        return self

    def predict(self, X: Any) -> Floats:
        """Predicted outcome, (n,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        inner, offset, outer, bias = self.weights_
        return np.asarray(np.maximum(X @ inner + offset, 0.0) @ outer + bias)

    def _unflat(self, flat: Floats) -> list[Floats]:
        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes])[:-1]
        return [part.reshape(k) for part, k in zip(np.split(flat, ends), self._shapes, strict=True)]

    def _gradients(self, weights: list[Floats], X: Floats, y: Floats, mask: Floats) -> list[Floats]:
        inner, offset, outer, bias = weights
        before = X @ inner + offset
        hidden = np.maximum(before, 0.0) * mask
        error = 2 * (hidden @ outer + bias - y) / len(y)
        back = np.outer(error, outer) * mask * (before > 0)
        decay = 2 * _WEIGHT_DECAY
        return [
            X.T @ back + decay * inner,
            back.sum(axis=0),
            hidden.T @ error + decay * outer,
            np.asarray(error.sum()),
        ]


def _flat(arrays: list[Floats]) -> Floats:
    return np.concatenate([np.ravel(array) for array in arrays])
