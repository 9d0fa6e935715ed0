"""Ridge on what metrics say of each member: two coefficients a metric, no interaction."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.forecast.estimators.descriptors import Descriptors, model_names
from mergecast.forecast.estimators.linear import Floats, TaskRidge, without_identity
from mergecast.forecast.rows import IDENTITY


class MemberRidge(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """`TaskRidge` on the own and partner parts of each metric (see `Descriptors`).

    A symmetric metric says the same of both members of a pair; its parts do not. The weights can
    therefore be read as "what makes a model fragile" and "what makes it a costly partner". It ranks
    the partners of a new model well and its level badly: with fewer tasks than metrics nothing
    holds the own part of an unseen model.

    Parameters
    ----------
    n_folds : blocks of tasks held out to choose the penalty.

    Attributes
    ----------
    own_coef_, partner_coef_ : (p,) retention per standard deviation of a part.
    """

    def __init__(self, n_folds: int = 10) -> None:
        self.n_folds = n_folds

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on member rows; X a frame with identity columns, or an array (then plain ridge)."""
        frame = X
        X, y = validate_data(self, without_identity(X), y, dtype=np.float64, y_numeric=True)
        self._descriptors = Descriptors(X, *model_names(frame, len(y)))
        self._ridge = TaskRidge(n_folds=self.n_folds).fit(self._parts(frame, X), y)
        p = X.shape[1]
        self.own_coef_, self.partner_coef_ = self._ridge.coef_[:p], self._ridge.coef_[p:]
        return self

    def predict(self, X: Any) -> Floats:
        """Predicted retention, (n,); the rows of one call are read as one family."""
        check_is_fitted(self)
        frame = X
        X = validate_data(self, without_identity(X), dtype=np.float64, reset=False)
        return self._ridge.predict(self._parts(frame, X))

    def _parts(self, frame: Any, X: Floats) -> Any:
        parts = self._descriptors.parts(X, *model_names(frame, len(X)))
        values = np.hstack([parts.own, parts.other])
        if not isinstance(frame, pd.DataFrame):
            return values
        table = pd.DataFrame(values, index=frame.index)
        table.columns = [f"x{k}" for k in range(values.shape[1])]
        named = [column for column in IDENTITY if column in frame.columns]
        return pd.concat([frame[named], table], axis=1)
