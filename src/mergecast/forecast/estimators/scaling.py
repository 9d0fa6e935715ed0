"""Metrics before a fit: without identity, standardised, limited to where they were tested."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, TransformerMixin, clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.forecast.rows import with_identity, without_identity
from mergecast.typing import Floats

#: How far beyond its training range a metric still counts, in widths of that range.
REACH = 0.25


def within(X: Floats, low: Floats, high: Floats, reach: float) -> Floats:
    """X (n, p), limited to `reach` widths beyond the range [low, high] (p,) of each column."""
    room = reach * (high - low)
    return np.asarray(np.clip(X, low - room, high + room))


def standardisation(X: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column; a constant one gets scale inf (effect 0)."""
    mean, scale = X.mean(axis=0), X.std(axis=0)
    # Rounding leaves a constant column a spread of some units in the last place.
    constant = scale <= 1e-12 * np.abs(X).max(axis=0, initial=0.0)
    return mean, np.where(constant, np.inf, scale)


class Standardise(StandardScaler):  # type: ignore[misc]  # scikit-learn has no types
    """scikit-learn's scaler, but that a metric which is constant in training counts nothing.

    There it gets scale 1, so that whatever an unseen model has in that metric, which no outcome
    has tested, would enter a forecast in its own units.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn mean and scale of each column of X (n, p)."""
        super().fit(X, y)
        self.mean_, self.scale_ = standardisation(np.asarray(X, dtype=np.float64))
        return self


class MetricsOnly(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The first step of a pipeline of any regressor: rows without their identity columns."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the names of the metrics; X (n, p), or a frame that also has identity columns."""
        validate_data(self, without_identity(X), dtype=np.float64)
        return self

    def transform(self, X: Any) -> Floats:
        """The metrics alone, (n, p)."""
        check_is_fitted(self)
        values = validate_data(self, without_identity(X), dtype=np.float64, reset=False)
        return np.asarray(values)


class OnMetrics(MetaEstimatorMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer of the metrics of rows that keep their identity columns.

    Parameters
    ----------
    transformer : sklearn.base.TransformerMixin
        Of arrays (n, p).
    """

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the transformer; X (n, p), or a frame that also has identity columns."""
        values = validate_data(self, without_identity(X), dtype=np.float64)
        self.transformer_ = clone(self.transformer).fit(values, y)
        return self

    def transform(self, X: Any) -> Any:
        """Transformed metrics, beside the identity columns of X where it has any."""
        check_is_fitted(self)
        values = validate_data(self, without_identity(X), dtype=np.float64, reset=False)
        return with_identity(X, self.transformer_.transform(values))
