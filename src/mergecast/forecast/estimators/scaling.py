"""Metrics in a fit: without identity, standardised, limited to where they were tested."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    RegressorMixin,
    TransformerMixin,
    clone,
)
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.forecast.rows import with_identity, without_identity
from mergecast.typing import Floats

#: The share of its reach up to which an effect that fades counts in full.
_GRACE = 0.25


def within(X: Floats, low: Floats, high: Floats, reach: float) -> Floats:
    """X (n, p), limited to `reach` widths beyond the range [low, high] (p,) of each column."""
    room = reach * (high - low)
    return np.asarray(np.clip(X, low - room, high + room))


def counted(X: Floats, low: Floats, high: Floats, reach: float) -> Floats:
    """How much of an effect counts that fades, (n, p).

    All of it up to a quarter of `reach` widths beyond the range, then less, nothing at `reach`.
    """
    width = np.where(high > low, high - low, np.inf)  # a constant column has no effect to fade
    beyond = np.maximum(low - X, X - high).clip(min=0) / width
    return np.asarray(np.clip((1 - beyond / reach) / (1 - _GRACE), 0, 1))


def faded(
    X: Floats, low: Floats, high: Floats, reach: float, fades: npt.NDArray[np.bool_] | bool
) -> Floats:
    """How much of the effects of metrics that fade counts in each row, (n,).

    As much as of the one that is farthest outside its range: they were learned together.
    """
    columns = np.flatnonzero(np.broadcast_to(fades, X.shape[1:]))
    share = counted(X[:, columns], low[columns], high[columns], reach)
    return np.asarray(share.min(axis=1, initial=1.0))


def standardisation(X: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column; a constant one gets scale inf (effect 0)."""
    mean, scale = X.mean(axis=0), X.std(axis=0)
    # Rounding leaves a constant column a spread of some units in the last place.
    constant = scale <= 1e-12 * np.abs(X).max(axis=0, initial=0.0)
    return mean, np.where(constant, np.inf, scale)


def metrics_of(estimator: Any, X: Any, *, reset: bool = False) -> Floats:
    """The metrics of X, checked by scikit-learn: an array, or a frame with identity columns."""
    values: Floats = validate_data(estimator, without_identity(X), dtype=np.float64, reset=reset)
    return values


class ScaledLinear(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A linear model of standardised metrics; abstract.

    Attributes
    ----------
    reach : float or None
        How far beyond its training range a metric still counts, in widths of that range; None for
        any distance.
    coef_ : ndarray of shape (p,)
        Effect of one standard deviation of each metric.
    intercept_ : float
        Forecast where every metric has its training mean.
    mean_, scale_ : ndarray of shape (p,)
        Of the training rows; a constant column has scale inf, hence no effect.
    low_, high_ : ndarray of shape (p,)
        Range of the training rows.
    fades_ : ndarray of shape (p,), or bool
        Whether a metric counts less and less beyond its range, and not at all at `reach`; and with
        it all others that do so.
    """

    reach: float | None = None
    fades_: npt.NDArray[np.bool_] | bool = False

    def predict(self, X: Any) -> Floats:
        """Predicted outcome, (n,); not clipped."""
        check_is_fitted(self)
        return np.asarray(self._standardised(metrics_of(self, X)) @ self.coef_ + self.intercept_)

    def _learn_scale(self, X: Any, y: Any) -> tuple[Floats, Floats]:
        """Standardised training metrics and the outcomes, of what `fit` was given."""
        X, y = validate_data(self, without_identity(X), y, dtype=np.float64, y_numeric=True)
        self.mean_, self.scale_ = standardisation(X)
        self.low_, self.high_, self.fades_ = X.min(axis=0), X.max(axis=0), False
        return self._standardised(X), y

    def _standardised(self, X: Floats) -> Floats:
        if self.reach is None:
            return (X - self.mean_) / self.scale_
        Z = (within(X, self.low_, self.high_, self.reach) - self.mean_) / self.scale_
        share = faded(X, self.low_, self.high_, self.reach, self.fades_)
        return np.where(self.fades_, Z * share[:, None], Z)


class PoorScore:
    """Declares to scikit-learn's common tests that a score on their data is not the point."""

    def __sklearn_tags__(self) -> Any:
        """The tags of the estimator it is mixed into, with a poor score."""
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.regressor_tags.poor_score = True
        return tags


class Standardise(StandardScaler):  # type: ignore[misc]
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
        metrics_of(self, X, reset=True)
        return self

    def transform(self, X: Any) -> Floats:
        """The metrics alone, (n, p)."""
        check_is_fitted(self)
        return metrics_of(self, X)


class OnMetrics(MetaEstimatorMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer (of arrays) applied to the metrics of rows that keep their identity columns."""

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the transformer; X (n, p), or a frame that also has identity columns."""
        self.transformer_ = clone(self.transformer).fit(metrics_of(self, X, reset=True), y)
        return self

    def transform(self, X: Any) -> Any:
        """Transformed metrics, beside the identity columns of X where it has any."""
        check_is_fitted(self)
        return with_identity(X, self.transformer_.transform(metrics_of(self, X)))
