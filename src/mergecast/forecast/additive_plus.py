"""AdditivePlus: retention = own effect + partner effect + how members answer to partners."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.forecast.descriptors import Descriptors, Parts, model_names
from mergecast.forecast.linear import Floats, without_identity
from mergecast.forecast.variance_components import (
    Components,
    Mask,
    fit_components,
    leave_out_residuals,
    worth_adding,
)

_OWN_METRICS = "own metrics"


class AdditivePlus(RegressorMixin, BaseEstimator):  # type: ignore[misc]
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
    by_name : whether effects belong to models by name (*warm*: a model has its effects wherever it
        has outcomes), or to a model's descriptors (metrics only: models with like descriptors have
        like effects, and no identity is read beyond which rows share a model).
    length : by descriptors, the distance at which likeness ends, in standard deviations of a
        descriptor.
    max_iter : REML steps.

    Attributes
    ----------
    variances_ : {term: variance explained}, with ``noise``.
    own_metrics_ : whether α is in the model.
    n_iter_ : REML steps of the variant that was chosen.
    """

    def __init__(self, by_name: bool = True, length: float = 0.25, max_iter: int = 10) -> None:
        self.by_name = by_name
        self.length = length
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on member rows.

        Parameters
        ----------
        X : frame with the identity columns and p metrics. An array (n, p) names no models: what
            remains is ridge regression with its penalty by REML.
        y : (n,) retention of each row's member.
        """
        frame = X
        X, y = validate_data(self, without_identity(X), y, dtype=np.float64, y_numeric=True)
        member, partner = model_names(frame, len(y))
        self._descriptors = Descriptors(X, member, partner)
        self._train = self._descriptors.parts(X, member, partner)
        tasks = np.unique(np.concatenate([member, partner]))
        held_out = [(member == task) | (partner == task) for task in tasks]
        held_out = [rows for rows in held_out if not rows.all()]
        kernels = self._kernels(self._train)
        own = kernels.pop(_OWN_METRICS)
        self._fit = fit_components(list(kernels.values()), y, self.max_iter)
        self.own_metrics_ = False
        if worth_adding(self._fit, own, y):
            larger = fit_components([*kernels.values(), own], y, self.max_iter)
            errors = [_task_errors(fit, y, held_out) for fit in (self._fit, larger)]
            # Rows without models have nothing but their metrics.
            self.own_metrics_ = not kernels or _clearly_lower(errors[1], errors[0])
            if self.own_metrics_:
                self._fit = larger
                kernels[_OWN_METRICS] = own
        self.n_iter_ = self._fit.n_iter
        self.variances_ = dict(zip([*kernels, "noise"], self._fit.theta.tolist(), strict=True))
        return self

    def predict(self, X: Any) -> Floats:
        """Predicted retention, (n,); not clipped.

        The rows of one call are read as one family: see `mergecast.forecast.descriptors`.
        """
        check_is_fitted(self)
        frame = X
        X = validate_data(self, without_identity(X), dtype=np.float64, reset=False)
        rows = self._descriptors.parts(X, *model_names(frame, len(X)))
        predicted = np.full(len(X), self._fit.mean)
        for name, K in self._kernels(rows).items():
            if name in self.variances_:
                predicted += self.variances_[name] * (K @ self._fit.weights)
        return predicted

    def _kernels(self, rows: Parts) -> dict[str, Floats]:
        """Similarity of rows with the training rows, (n, n_train), term by term."""
        train, p = self._train, max(rows.own.shape[1], 1)
        own, other = rows.own @ train.own.T / p, rows.other @ train.other.T / p
        if not np.any(train.member != ""):
            return {_OWN_METRICS: own}
        if self.by_name:
            member = (rows.member[:, None] == train.member[None]).astype(np.float64)
            partner = (rows.partner[:, None] == train.partner[None]).astype(np.float64)
        else:
            member = self._likeness(rows.own, train.own)
            partner = self._likeness(rows.other, train.other)
        return {
            "own": member,
            "partner": partner,
            "partner metrics": other,
            "own × partner metrics": member * other,
            "partner × own metrics": partner * own,
            _OWN_METRICS: own,
        }

    def _likeness(self, A: Floats, B: Floats) -> Floats:
        squares = (A**2).sum(axis=1)[:, None] + (B**2).sum(axis=1)[None] - 2 * A @ B.T
        distance = np.maximum(squares, 0.0) / max(A.shape[1], 1)
        return np.asarray(np.exp(-distance / (2 * self.length**2)))

    def __sklearn_tags__(self) -> Any:
        """Declare that its score on rows without models is not the point."""
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


def _task_errors(fit: Components, y: Floats, held_out: list[Mask]) -> Floats:
    """Mean squared error of the rows of each task, were they forecast from all others."""
    residuals = leave_out_residuals(fit, y, held_out)
    return np.array([np.mean(residual**2) for residual in residuals])


def _clearly_lower(errors: Floats, than: Floats) -> bool:
    """Whether errors on left-out tasks fall by more than twice the standard error of their mean."""
    gain = than - errors
    if len(gain) < 2:
        return False
    return bool(gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain)))
