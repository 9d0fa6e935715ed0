"""AdditivePlus: retention = own effect + partner effect + how members answer to partners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.errors import UsageError
from mergecast.forecast.estimators.descriptors import Descriptors, Names, Parts, model_names
from mergecast.forecast.estimators.effects import (
    MEMBER_SLOPES,
    OWN,
    OWN_METRICS,
    PARTNER,
    PARTNER_METRICS,
    PARTNER_SLOPES,
    Effects,
    Shares,
)
from mergecast.forecast.estimators.retention_linear import few_metrics
from mergecast.forecast.estimators.scaling import PoorScore, within
from mergecast.forecast.estimators.variance_components import (
    Components,
    Mask,
    fit_components,
    leave_out_residuals,
    worth_adding,
)
from mergecast.forecast.rows import without_identity
from mergecast.typing import Floats

FEW = "few"


class AdditivePlus(PoorScore, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A directed mixed model of the retention of member i beside partner j.

    y(i | j) = mean + a_i + b_j + β·partner_j (+ α·own_i) + δ_i·partner_j + ε_j·own_i + noise.

    a and b are random effects of models (what a member loses whatever the partner, what a partner
    costs whatever the member); β and α are what metrics say about them, which is all there is for a
    model never seen; the slopes δ_i and ε_j let each member answer in its own way to partners of a
    kind, and each partner hit members of a kind in its own way. `own` and `partner` are
    `Descriptors` of the metrics. All are Gaussian with variances by REML, so an effect with few
    observations is shrunken, and that of a model without outcomes is zero. α enters only where it
    clearly lowers the error on tasks left out (by more than two standard errors): with few tasks
    and many metrics it can fit any own effect.

    Parameters
    ----------
    by_name : bool
        Whether effects belong to models by name (*warm*: a model has its effects wherever it has
        outcomes), or to a model's descriptors (metrics only: models with like descriptors have
        like effects, and no identity is read beyond which rows share a model).
    length : float
        By descriptors, the distance at which likeness ends, in standard deviations of a descriptor.
    metrics : sequence of str, {"few"} or None
        Names of the metrics to read; None for all; ``"few"`` for those of `few_metrics` where the
        rows have them, else all. Where metrics were chosen, α enters by its likelihood alone.
    reach : float or None
        How far beyond its training range a metric still counts, in widths of that range; None for
        any distance.

    Attributes
    ----------
    effects_ : Effects
        Of the training models and of metrics, and the mean of the training rows.
    descriptors_ : Descriptors
        The split of the metrics.
    variances_ : dict of str to float
        Term to the variance explained, with ``noise``.
    low_, high_ : ndarray of shape (p,)
        Range of each metric read.
    own_metrics_ : bool
        Whether α is in the model.
    n_iter_ : int
        REML steps of the variant that was chosen.
    """

    def __init__(
        self,
        by_name: bool = True,
        length: float = 0.25,
        metrics: Sequence[str] | str | None = None,
        reach: float | None = None,
    ) -> None:
        self.by_name = by_name
        self.length = length
        self.metrics = metrics
        self.reach = reach

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on member rows.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n, p)
            Identity columns and p metrics. An array names no models: what remains is ridge
            regression with its penalty by REML.
        y : array-like of shape (n,)
            Retention of each row's member.
        """
        frame = X
        X, y = validate_data(self, self._chosen(X), y, dtype=np.float64, y_numeric=True)
        self.low_, self.high_ = X.min(axis=0), X.max(axis=0)
        member, partner = model_names(frame, len(y))
        self.descriptors_ = Descriptors.of_rows(X, member, partner)
        train = self.descriptors_.parts(X, member, partner)
        kernels = self._kernels(train)
        own = kernels.pop(OWN_METRICS)
        fit = fit_components(list(kernels.values()), y)
        self.own_metrics_ = False
        if worth_adding(fit, own, y):
            larger = fit_components([*kernels.values(), own], y)
            # Rows without models have nothing but their metrics; and a few metrics that were
            # chosen beforehand cannot fit any own effect.
            few = self._names(frame) is not None
            self.own_metrics_ = not kernels or few or _better_unseen(larger, fit, y, train)
            if self.own_metrics_:
                fit, kernels[OWN_METRICS] = larger, own
        self.n_iter_ = fit.n_iter
        self.variances_ = dict(zip([*kernels, "noise"], fit.theta.tolist(), strict=True))
        self.effects_ = Effects.of_rows(
            fit.mean, self.variances_, fit.weights, train, self.descriptors_.models
        )
        return self

    def predict(self, X: Any) -> Floats:
        """Predicted retention, (n,), not clipped; the rows of one call are read as one family."""
        return self.total(self.shares(X))

    def total(self, shares: Shares) -> Floats:
        """The forecasts that shares add up to, (n,)."""
        metrics = shares.metrics.sum(axis=1)
        return np.asarray(self.effects_.mean + shares.member + shares.partner + metrics)

    def shares(self, X: Any) -> Shares:
        """What each row's forecast is made of, beside the mean; X as in `predict`."""
        check_is_fitted(self)
        frame = X
        X = validate_data(self, self._chosen(X), dtype=np.float64, reset=False)
        rows = self.descriptors_.parts(self._within(X), *model_names(frame, len(X)))
        models, (own, other) = self.descriptors_.models, self.descriptors_.of_models()
        member = self._likeness(rows.member, rows.own, models, own)
        partner = self._likeness(rows.partner, rows.other, models, other)
        return self.effects_.shares(rows, member, partner)

    def _names(self, X: Any) -> list[str] | None:
        """The metrics to read, where not all of them are."""
        if self.metrics is None or not isinstance(X, pd.DataFrame):
            return None
        return few_metrics(X.columns) if self.metrics == FEW else list(self.metrics)

    def _chosen(self, X: Any) -> Any:
        names = self._names(X)
        for name in names or []:
            if name not in X.columns:
                raise UsageError(f"metric {name!r}", "not in the rows", "compute it")
        return without_identity(X) if names is None else X[names]

    def _within(self, X: Floats) -> Floats:
        return X if self.reach is None else within(X, self.low_, self.high_, self.reach)

    def _kernels(self, rows: Parts) -> dict[str, Floats]:
        """Similarity of the training rows with each other, (n, n), term by term."""
        p = max(rows.own.shape[1], 1)
        own, other = rows.own @ rows.own.T / p, rows.other @ rows.other.T / p
        if not np.any(rows.member != ""):
            return {OWN_METRICS: own}
        member = self._likeness(rows.member, rows.own, rows.member, rows.own)
        partner = self._likeness(rows.partner, rows.other, rows.partner, rows.other)
        return {
            OWN: member,
            PARTNER: partner,
            PARTNER_METRICS: other,
            MEMBER_SLOPES: member * other,
            PARTNER_SLOPES: partner * own,
            OWN_METRICS: own,
        }

    def _likeness(self, names: Names, A: Floats, others: Names, B: Floats) -> Floats:
        """Likeness of n models with m others, (n, m), by their names or by their descriptors."""
        if self.by_name:
            return np.asarray(names[:, None] == others[None], dtype=np.float64)
        squares = (A**2).sum(axis=1)[:, None] + (B**2).sum(axis=1)[None] - 2 * A @ B.T
        distance = np.maximum(squares, 0.0) / max(A.shape[1], 1)
        return np.asarray(np.exp(-distance / (2 * self.length**2)))


def _better_unseen(larger: Components, fit: Components, y: Floats, train: Parts) -> bool:
    """Whether errors on left-out tasks fall by more than twice the standard error of their mean."""
    tasks = np.unique(np.concatenate([train.member, train.partner]))
    held_out = [(train.member == task) | (train.partner == task) for task in tasks]
    held_out = [rows for rows in held_out if not rows.all()]
    gain = _task_errors(fit, y, held_out) - _task_errors(larger, y, held_out)
    if len(gain) < 2:
        return False
    return bool(gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain)))


def _task_errors(fit: Components, y: Floats, held_out: list[Mask]) -> Floats:
    """Mean squared error of the rows of each task, were they forecast from all others."""
    residuals = leave_out_residuals(fit, y, held_out)
    return np.array([np.mean(residual**2) for residual in residuals])
