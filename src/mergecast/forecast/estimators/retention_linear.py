"""The forecast of few coefficients: what a model keeps alone, and how far the two pull apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.errors import UsageError
from mergecast.forecast.estimators.linear import Floats, standardisation, within, without_identity

#: Forms of retention, the best first (`benchmarks/tiers.py`); the labelled one needs labels.
LABELLED = ("retention_scrambled_kept_labelled", "retention_kept_labelled")
UNLABELLED = ("retention_scrambled_kept_unlabelled", "retention_kept_unlabelled")
#: What is known of the pair: how far two task vectors read the same inputs.
PAIR = ("right_subspace_overlap_top_k",)
#: What tells the members of a pair apart where retention was not measured.
NORM_SHARE = "task_vector_norm_share"


def few_metrics(columns: Iterable[str]) -> list[str] | None:
    """One metric that tells members apart and one of the pair; None where none of the first is.

    Retention alone where it was measured, else the member's share of the two task vectors' norm;
    and the overlap of right subspaces. Beside random effects of models that is enough: with more
    metrics, forecasts of `digits-14` with one task unseen become worse.
    """
    there = set(columns)
    own = [name for name in (*LABELLED, *UNLABELLED, NORM_SHARE) if name in there][:1]
    return own + [name for name in PAIR if name in there] if own else None


class RetentionLinear(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """y(i | j) = c + α · retention of i alone + β · overlap of i and j, by least squares.

    Retention says what a method costs a model whoever its partner is, which is most of an outcome;
    the overlap of the right singular subspaces says how much of the rest these two spare each
    other. Two coefficients can be learnt from the pairs of a few tasks and hold for models never
    seen, where a fit to all metrics learns the training tasks by heart.

    Metrics are standardised and limited to their training range and `reach` widths beyond it:
    further than in `linear`, since both are shares that hold few surprises, and
    models that keep less than any seen are those one wants to hear of.

    Parameters
    ----------
    own : names of retention metrics in order of preference; the first that X has is used.
    pair : names of metrics of the pair; those that X has are used.
    reach : how far beyond the training range a metric still counts, in widths of that range.

    Attributes
    ----------
    coef_ : (p,) effect of one standard deviation of each metric of X; 0 for those not used.
    used_ : names of the metrics used.
    intercept_ : mean of y. mean_, scale_, low_, high_ : (p,) of the training rows.
    """

    def __init__(
        self,
        own: Sequence[str] = (*LABELLED, *UNLABELLED),
        pair: Sequence[str] = PAIR,
        reach: float = 1.0,
    ) -> None:
        self.own = own
        self.pair = pair
        self.reach = reach

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on member rows.

        Parameters
        ----------
        X : frame with the metrics by name, or an array (n, p), all of whose columns are used.
        y : (n,) retention of each row's member.

        Raises
        ------
        UsageError
            A frame without any of the retention metrics.
        """
        X, y = validate_data(self, without_identity(X), y, dtype=np.float64, y_numeric=True)
        named = hasattr(self, "feature_names_in_")
        names = self.feature_names_in_.tolist() if named else list(map(str, range(X.shape[1])))
        self.used_ = self._choose(names) if named else names
        columns = [names.index(name) for name in self.used_]
        self.mean_, self.scale_ = standardisation(X)
        self.low_, self.high_ = X.min(axis=0), X.max(axis=0)
        self.intercept_ = float(y.mean())
        self.coef_ = np.zeros(X.shape[1])
        Z = self._standardised(X)[:, columns]
        self.coef_[columns] = np.linalg.lstsq(Z, y - self.intercept_, rcond=None)[0]
        return self

    def predict(self, X: Any) -> Floats:
        """Predicted retention, (n,); not clipped."""
        check_is_fitted(self)
        X = validate_data(self, without_identity(X), dtype=np.float64, reset=False)
        return np.asarray(self._standardised(X) @ self.coef_ + self.intercept_)

    def _choose(self, names: list[str]) -> list[str]:
        own = [name for name in self.own if name in names][:1]
        if not own:
            raise UsageError(
                "retention metrics",
                f"none of {', '.join(self.own)} is in the pair table",
                "compute them with `mergecast metrics --tasks FILE --tier activations`",
            )
        return own + [name for name in self.pair if name in names]

    def _standardised(self, X: Floats) -> Floats:
        return (within(X, self.low_, self.high_, self.reach) - self.mean_) / self.scale_
