"""Ridge on what metrics say of each member: two coefficients a metric, no interaction."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted

from mergecast.forecast.estimators.descriptors import Descriptors, model_names
from mergecast.forecast.estimators.linear import TaskRidge
from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.estimators.scaling import metrics_of
from mergecast.forecast.rows import with_identity


@predictor("member_ridge", "ridge on own and partner parts of metrics")
def member_ridge() -> Pipeline:
    """`TaskRidge` on the own and partner parts of each metric.

    A symmetric metric says the same of both members of a pair; its parts do not. The weights can
    therefore be read as "what makes a model fragile" (the first p of the last step's `coef_`) and
    "what makes it a costly partner" (the others). It ranks the partners of a new model well and its
    level badly: with fewer tasks than metrics nothing holds the own part of an unseen model.
    """
    return make_pipeline(MemberParts(), TaskRidge())


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
        values = metrics_of(self, X, reset=True)
        self.descriptors_ = Descriptors.of_rows(values, *model_names(X, len(values)))
        return self

    def transform(self, X: Any) -> Any:
        """(n, 2p) beside the identity columns of X, where it has any."""
        check_is_fitted(self)
        values = metrics_of(self, X)
        parts = self.descriptors_.parts(values, *model_names(X, len(values)))
        return with_identity(X, np.hstack([parts.own, parts.other]))
