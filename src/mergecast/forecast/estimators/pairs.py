"""Any regressor, fitted on pairs: the unit of the paper's fits, which know no directions."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.forecast.estimators.scaling import metrics_of
from mergecast.forecast.rows import mean_by_code, pair_codes, without_identity
from mergecast.typing import Floats


class PairRegressor(MetaEstimatorMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """The two rows of a pair count once, by their mean; without identity columns each row counts.

    A step of a pipeline cannot do this, as it may not change the number of rows.

    Parameters
    ----------
    regressor : sklearn.base.RegressorMixin
        Of metrics alone; it gets a frame where `fit` does.

    Attributes
    ----------
    regressor_ : sklearn.base.RegressorMixin
        The fitted one.
    coef_ : ndarray of shape (p,)
        Its coefficients, or those of its last step; only there where it has them.
    """

    def __init__(self, regressor: Any) -> None:
        self.regressor = regressor

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on pairs.

        Parameters
        ----------
        X : array-like of shape (n, p), or DataFrame
            Finite numbers; a frame may also have identity columns.
        y : array-like of shape (n,)
            Outcome of each row.
        """
        frame = X
        X, y = validate_data(self, without_identity(X), y, dtype=np.float64, y_numeric=True)
        codes = pair_codes(frame, len(y))
        metrics = self._named(mean_by_code(X, codes))
        self.regressor_ = clone(self.regressor).fit(metrics, mean_by_code(y, codes))
        pipeline = isinstance(self.regressor_, Pipeline)
        last = self.regressor_[-1] if pipeline else self.regressor_
        if hasattr(last, "coef_"):
            self.coef_ = last.coef_
        return self

    def predict(self, X: Any) -> Floats:
        """Predicted outcome of each row, (n,); not clipped."""
        check_is_fitted(self)
        return np.asarray(self.regressor_.predict(self._named(metrics_of(self, X))))

    def _named(self, X: Floats) -> Floats | pd.DataFrame:
        names = getattr(self, "feature_names_in_", None)
        # Not copied, since a copy is laid out by columns, and sums then round otherwise.
        return X if names is None else pd.DataFrame(X, columns=names, copy=False)

    def __sklearn_tags__(self) -> Any:
        """Declare what the regressor declares of its score."""
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = get_tags(self.regressor).regressor_tags.poor_score
        return tags
