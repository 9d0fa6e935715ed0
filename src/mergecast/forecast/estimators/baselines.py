"""The two baselines that every other predictor is read against."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.utils.validation import check_is_fitted

from mergecast.errors import UndefinedError, UsageError
from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.estimators.stored_linear import LinearModel
from mergecast.forecast.rows import IDENTITY, names_models
from mergecast.typing import Floats


@predictor("constant", "mean retention of the training pairs", stored=LinearModel)
def constant() -> DummyRegressor:
    """The mean retention of the training rows, whatever the metrics say."""
    return DummyRegressor()


@predictor("partner_mean", "mean outcome of the partner's other pairs", warm=True)
class PartnerMean(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predict a pair by the outcomes of its known member's other pairs; no metric is read.

    A row whose member is known gets the mean of that member's own training retentions; a row whose
    partner is known gets the mean retention of others merged with that partner; with both known,
    the mean of the two. For a pair with one known task the mean over its two rows is the mean
    outcome of that task's training pairs. Tasks are known within their suite. *Warm*: it cannot
    say anything about two new models.

    Attributes
    ----------
    as_member_, as_partner_ : dict
        (suite, task) to mean retention: its own, and that of others merged with it.
    """

    def fit(self, X: pd.DataFrame, y: Any) -> Self:
        """Store each task's means; X needs the identity columns `suite, member, partner`."""
        frame = _identity(X).assign(y=np.asarray(y, dtype=np.float64))
        self.as_member_ = frame.groupby(["suite", "member"])["y"].mean().to_dict()
        self.as_partner_ = frame.groupby(["suite", "partner"])["y"].mean().to_dict()
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """Predicted retention, (n,); raises UndefinedError where neither task is known."""
        check_is_fitted(self)
        predicted = []
        for suite, member, partner in _identity(X).itertuples(index=False, name=None):
            means = [
                table[suite, task]
                for table, task in ((self.as_member_, member), (self.as_partner_, partner))
                if (suite, task) in table
            ]
            if not means:
                raise UndefinedError(
                    f"pair {member} + {partner} of suite {suite!r}",
                    "partner mean is undefined: no outcome of either model is known",
                    "use a predictor that reads metrics",
                )
            predicted.append(float(np.mean(means)))
        return np.array(predicted)


def _identity(X: Any) -> pd.DataFrame:
    if not names_models(X):
        raise UsageError(
            "partner mean",
            "the rows do not say which models they are of",
            f"give a frame with columns {', '.join(IDENTITY)}",
        )
    identity: pd.DataFrame = X[IDENTITY]
    return identity
