"""Learners without a closed form: extra trees, a small network, and ridge on reshaped metrics."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.preprocessing import PowerTransformer
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.forecast.estimators.linear import (
    Floats,
    TaskRidge,
    standardisation,
    without_identity,
)
from mergecast.forecast.rows import IDENTITY

# Adam's usual constants; see `mergecast.forecast.estimators.adam`.
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class TaskTrees(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Extremely randomised trees on the metrics of member rows.

    Parameters
    ----------
    n_trees, min_leaf : number of trees; least rows in a leaf.
    random_state : seed of the splits.

    References
    ----------
    Geurts, Ernst and Wehenkel, "Extremely randomized trees", 2006.
    """

    def __init__(self, n_trees: int = 100, min_leaf: int = 3, random_state: int = 0) -> None:
        self.n_trees = n_trees
        self.min_leaf = min_leaf
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Grow the trees; X (n, p) or a frame that also has identity columns, y (n,)."""
        X, y = validate_data(self, without_identity(X), y, dtype=np.float64, y_numeric=True)
        self.trees_ = ExtraTreesRegressor(
            self.n_trees, min_samples_leaf=self.min_leaf, random_state=self.random_state
        ).fit(X, y)
        return self

    def predict(self, X: Any) -> Floats:
        """Predicted retention, (n,)."""
        check_is_fitted(self)
        X = validate_data(self, without_identity(X), dtype=np.float64, reset=False)
        return np.asarray(self.trees_.predict(X))


class PowerRidge(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """`TaskRidge` on Yeo-Johnson transformed metrics; norms and dot products are skewed.

    Parameters
    ----------
    n_folds : blocks of tasks held out to choose the penalty.

    Attributes
    ----------
    ridge_ : the fitted `TaskRidge`, on transformed metrics.

    References
    ----------
    Yeo and Johnson, "A new family of power transformations", 2000.
    """

    def __init__(self, n_folds: int = 10) -> None:
        self.n_folds = n_folds

    def fit(self, X: Any, y: Any) -> Self:
        """Fit transform and ridge; X (n, p) or a frame with identity columns, y (n,)."""
        frame = X
        X, y = validate_data(self, without_identity(X), y, dtype=np.float64, y_numeric=True)
        # The transform's exponent is sought numerically: give it columns of like size.
        self.mean_, self.scale_ = standardisation(X)
        self.power_ = PowerTransformer(standardize=False).fit((X - self.mean_) / self.scale_)
        self.ridge_ = TaskRidge(n_folds=self.n_folds).fit(self._reshaped(frame, X), y)
        return self

    def predict(self, X: Any) -> Floats:
        """Predicted retention, (n,)."""
        check_is_fitted(self)
        frame = X
        X = validate_data(self, without_identity(X), dtype=np.float64, reset=False)
        return self.ridge_.predict(self._reshaped(frame, X))

    def _reshaped(self, frame: Any, X: Floats) -> Any:
        values = self.power_.transform((X - self.mean_) / self.scale_)
        if not isinstance(frame, pd.DataFrame):
            return values
        table = pd.DataFrame(values, index=frame.index)
        table.columns = [f"x{k}" for k in range(values.shape[1])]
        named = [column for column in IDENTITY if column in frame.columns]
        return pd.concat([frame[named], table], axis=1)


class SmallNetwork(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """The paper's non-linear baseline: one hidden layer of 8 ReLU units, dropout 0.4.

    Squared error on standardised metrics and outcome, full batches, Adam; no early stopping, since
    rows held out for it would share tasks with those kept.

    Parameters
    ----------
    n_hidden, dropout : units, and the share of them that is dropped in a step.
    n_steps, learning_rate, weight_decay : of Adam; the decay is L2 on the weights.
    random_state : seed of the start and of dropout.
    """

    def __init__(
        self,
        n_hidden: int = 8,
        dropout: float = 0.4,
        n_steps: int = 500,
        learning_rate: float = 0.01,
        weight_decay: float = 1e-3,
        random_state: int = 0,
    ) -> None:
        self.n_hidden = n_hidden
        self.dropout = dropout
        self.n_steps = n_steps
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Train; X (n, p) or a frame that also has identity columns, y (n,)."""
        X, y = validate_data(self, without_identity(X), y, dtype=np.float64, y_numeric=True)
        self.mean_, self.scale_ = standardisation(X)
        self.centre_, self.spread_ = float(y.mean()), float(y.std()) or 1.0
        Z, target = (X - self.mean_) / self.scale_, (y - self.centre_) / self.spread_
        random = np.random.default_rng(self.random_state)
        p, h = Z.shape[1], self.n_hidden
        shapes = [(p, h), (h,), (h,), ()]
        spreads = [np.sqrt(2 / p), 0.0, np.sqrt(1 / h), 0.0]
        weights = [s * random.normal(size=size) for s, size in zip(spreads, shapes, strict=True)]
        first = [np.zeros(size) for size in shapes]
        second = [np.zeros(size) for size in shapes]
        for step in range(1, self.n_steps + 1):
            # Inverted dropout: the kept units are scaled up, so that predict needs no scaling.
            mask = (random.random((len(Z), h)) >= self.dropout) / (1 - self.dropout)
            gradients = self._gradients(weights, Z, target, mask)
            for k, gradient in enumerate(gradients):
                first[k] = _BETA1 * first[k] + (1 - _BETA1) * gradient
                second[k] = _BETA2 * second[k] + (1 - _BETA2) * gradient**2
                size = np.sqrt(second[k] / (1 - _BETA2**step)) + _EPSILON
                weights[k] = weights[k] - self.learning_rate * first[k] / (1 - _BETA1**step) / size
        self.weights_ = weights
        return self

    def predict(self, X: Any) -> Floats:
        """Predicted retention, (n,)."""
        check_is_fitted(self)
        X = validate_data(self, without_identity(X), dtype=np.float64, reset=False)
        inner, offset, outer, bias = self.weights_
        hidden = np.maximum((X - self.mean_) / self.scale_ @ inner + offset, 0.0)
        return np.asarray(self.centre_ + self.spread_ * (hidden @ outer + bias))

    def _gradients(
        self, weights: list[Any], Z: Floats, target: Floats, mask: Floats
    ) -> list[Floats]:
        inner, offset, outer, bias = weights
        before = Z @ inner + offset
        hidden = np.maximum(before, 0.0) * mask
        error = 2 * (hidden @ outer + bias - target) / len(target)
        back = np.outer(error, outer) * mask * (before > 0)
        decay = 2 * self.weight_decay
        return [
            Z.T @ back + decay * inner,
            back.sum(axis=0),
            hidden.T @ error + decay * outer,
            np.asarray(error.sum()),
        ]
