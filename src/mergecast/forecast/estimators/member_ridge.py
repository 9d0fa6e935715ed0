"""Ridge on what metrics say of each member: two coefficients a metric, no interaction."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.forecast.estimators.descriptors import Descriptors, model_names
from mergecast.forecast.estimators.linear import TaskRidge
from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.rows import with_identity, without_identity


@predictor("member_ridge", "ridge on own and partner parts of metrics")
def member_ridge(n_folds: int = 10) -> Pipeline:
    """`TaskRidge` on the own and partner parts of each metric.

    A symmetric metric says the same of both members of a pair; its parts do not. The weights can
    therefore be read as "what makes a model fragile" (the first p of the last step's `coef_`) and
    "what makes it a costly partner" (the others). It ranks the partners of a new model well and its
    level badly: with fewer tasks than metrics nothing holds the own part of an unseen model.
    """
    return make_pipeline(MemberParts(), TaskRidge(n_folds=n_folds))


class MemberParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """p metrics of member rows to their own parts and their partner parts (see `Descriptors`).

    The rows of one call are read as one family. Of an array, which names no models, a metric is its
    own part.

    Attributes
    ----------
    descriptors_ : Descriptors
        The split, as the training rows gave it.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the split; X (n, p), or a frame that also has identity columns."""
        frame = X
        X = validate_data(self, without_identity(X), dtype=np.float64)
        self.descriptors_ = Descriptors(X, *model_names(frame, len(X)))
        return self

    def transform(self, X: Any) -> Any:
        """(n, 2p) beside the identity columns of X, where it has any."""
        check_is_fitted(self)
        frame = X
        X = validate_data(self, without_identity(X), dtype=np.float64, reset=False)
        parts = self.descriptors_.parts(X, *model_names(frame, len(X)))
        return with_identity(frame, np.hstack([parts.own, parts.other]))
