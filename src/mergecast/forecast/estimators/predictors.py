"""The registry of predictors, and the two baselines every other one is read against."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.errors import UndefinedError, UsageError
from mergecast.forecast.estimators.additive_plus import AdditivePlus
from mergecast.forecast.estimators.distance_index import DistanceIndex
from mergecast.forecast.estimators.learners import PowerRidge, SmallNetwork, TaskTrees
from mergecast.forecast.estimators.least_squares import BackwardElimination, LeastSquares
from mergecast.forecast.estimators.linear import Floats, TaskLasso, TaskRidge, without_identity
from mergecast.forecast.estimators.member_ridge import MemberRidge
from mergecast.forecast.estimators.published import PearsonL1, PublishedMSE
from mergecast.forecast.estimators.retention_linear import LABELLED, UNLABELLED, RetentionLinear
from mergecast.forecast.rows import IDENTITY
from mergecast.registry import Registry


class ConstantRetention(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predict the mean retention of the training rows, whatever the metrics say."""

    def fit(self, X: Any, y: Any) -> Self:
        """Store the mean of y, (n,)."""
        _, y = validate_data(self, without_identity(X), y, dtype=np.float64, y_numeric=True)
        self.mean_ = float(y.mean())
        return self

    def predict(self, X: Any) -> Floats:
        """The mean, n times."""
        check_is_fitted(self)
        X = validate_data(self, without_identity(X), dtype=np.float64, reset=False)
        return np.full(len(X), self.mean_)

    def __sklearn_tags__(self) -> Any:
        """Declare that its score is poor by design."""
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


class PartnerMean(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predict a pair by the outcomes of its known member's other pairs; no metric is read.

    A row whose member is known gets the mean of that member's own training retentions; a row whose
    partner is known gets the mean retention of others merged with that partner; with both known,
    the mean of the two. For a pair with one known task the mean over its two rows is the mean
    outcome of that task's training pairs. Tasks are known within their suite. *Warm*: it cannot
    say anything about two new models.
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
            own = self.as_member_.get((suite, member))
            other = self.as_partner_.get((suite, partner))
            known = [value for value in (own, other) if value is not None]
            if not known:
                raise UndefinedError(
                    f"pair {member} + {partner} of suite {suite!r}",
                    "partner mean is undefined: no outcome of either model is known",
                    "use a predictor that reads metrics",
                )
            predicted.append(float(np.mean(known)))
        return np.array(predicted)


@dataclass(frozen=True)
class Predictor:
    """An entry of the registry.

    Attributes
    ----------
    name : its key.
    make : returns a fresh, unfitted scikit-learn regressor of member rows.
    warm : whether it needs known outcomes of a partner of the pair to predict. Warm predictors do
        not apply where both tasks are unseen.
    summary : one line for tables and help.
    needs : metrics of which it takes one; empty where any will do.
    """

    name: str
    make: Callable[[], Any]
    warm: bool
    summary: str
    needs: tuple[str, ...] = ()

    def lacks(self, metrics: Iterable[str]) -> str:
        """Why it says nothing of rows with these metrics; "" where it does."""
        if not self.needs or set(self.needs) & set(metrics):
            return ""
        return f"not applicable: the pair table has none of {', '.join(self.needs)}"


PREDICTORS: Registry[Predictor] = Registry("predictor")
BASELINES = ["constant", "partner_mean"]

for _predictor in (
    Predictor("constant", ConstantRetention, False, "mean retention of the training pairs"),
    Predictor("partner_mean", PartnerMean, True, "mean outcome of the partner's other pairs"),
    Predictor("ridge", TaskRidge, False, "ridge regression on standardised metrics"),
    Predictor("lasso", TaskLasso, False, "Lasso on standardised metrics"),
    Predictor("distance_index", DistanceIndex, False, "equal weights on distances, median effect"),
    Predictor("member_ridge", MemberRidge, False, "ridge on own and partner parts of metrics"),
    Predictor(
        "retention",
        RetentionLinear,
        False,
        "what a model keeps alone, and the overlap of the pair's right subspaces",
        needs=(*LABELLED, *UNLABELLED),
    ),
    Predictor(
        "retention_unlabelled",
        partial(RetentionLinear, own=UNLABELLED),
        False,
        "the same without labels",
        needs=UNLABELLED,
    ),
    Predictor("mse", LeastSquares, False, "least squares, also the unpenalised best correlation"),
    Predictor("backward", BackwardElimination, False, "least squares on metrics that matter to r"),
    Predictor("paper", PearsonL1, False, "the paper's fit: -r + λ‖w‖₁, λ = 1"),
    Predictor("pearson", partial(PearsonL1, penalty=0.0), False, "the paper's fit without penalty"),
    Predictor("paper_mse", PublishedMSE, False, "the paper's squared-error baseline"),
    Predictor("mlp", SmallNetwork, False, "one hidden layer of 8 units, dropout 0.4"),
    Predictor("extra_trees", TaskTrees, False, "extremely randomised trees"),
    Predictor("power_ridge", PowerRidge, False, "ridge on power-transformed metrics"),
    Predictor(
        "additive_plus",
        partial(AdditivePlus, by_name=False, metrics="few", reach=1.0),
        False,
        "own + partner + interaction, models known by their metrics",
    ),
    Predictor(
        "additive_plus_warm",
        partial(AdditivePlus, metrics="few", reach=1.0),
        True,
        "own + partner + interaction, models known by their outcomes",
    ),
):
    PREDICTORS.add(_predictor.name, _predictor)


def _identity(X: Any) -> pd.DataFrame:
    if not isinstance(X, pd.DataFrame) or not set(IDENTITY) <= set(X.columns):
        raise UsageError(
            "partner mean",
            "the rows do not say which models they are of",
            f"give a frame with columns {', '.join(IDENTITY)}",
        )
    return X[IDENTITY]
