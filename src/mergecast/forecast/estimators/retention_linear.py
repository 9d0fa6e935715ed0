"""The forecast of few coefficients: what a model keeps, and how far the two pull apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from mergecast.errors import UsageError
from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.estimators.scaling import ScaledLinear, faded, metrics_of
from mergecast.forecast.estimators.stored_linear import LinearModel
from mergecast.forecast.rows import kin_weights
from mergecast.typing import Floats

#: Forms of retention, the best first (`benchmarks/tiers.py`); the labelled one needs labels.
LABELLED = ("retention_scrambled_kept_labelled", "retention_kept_labelled")
UNLABELLED = ("retention_scrambled_kept_unlabelled", "retention_kept_unlabelled")
#: What a merge keeps as superposed shifts have it (`benchmarks/superposition.py`).
SUPERPOSED_LABELLED = ("superposed_expected_labelled", "superposed_matched_labelled")
SUPERPOSED = ("superposed_expected_unlabelled", "superposed_matched_unlabelled")
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
    metrics = set(columns)
    apart = [name for name in (*LABELLED, *UNLABELLED, NORM_SHARE) if name in metrics][:1]
    return apart + [name for name in PAIR if name in metrics] if apart else None


@predictor(
    "retention_unlabelled",
    "the same without labels",
    needs=UNLABELLED,
    stored=LinearModel,
    own=UNLABELLED,
)
@predictor(
    "retention",
    "what a model keeps alone, and the overlap of the pair's right subspaces",
    needs=(*LABELLED, *UNLABELLED),
    stored=LinearModel,
)
class RetentionLinear(ScaledLinear):
    """y(i | j) = c + α · retention of i + β · overlap of i and j, by least squares.

    Retention is that of i alone, which says what a method costs a model whoever its partner is; the
    overlap of the right singular subspaces says how much of the rest these two spare each other.
    Two coefficients can be learnt from the pairs of a few tasks and hold for models never seen,
    where a fit to all metrics learns the training tasks by heart.

    Metrics are standardised. Retention counts up to `reach` widths beyond its training range:
    models that keep less than any seen are those one wants to hear of. The overlap fades out over
    that distance: on a real encoder, where every pair's was far outside, its effect at the limit
    moved all forecasts by a third.

    Parameters
    ----------
    own : sequence of str
        Names of retention metrics in order of preference; the first that X has is used.

    Attributes
    ----------
    used_ : list of str
        Names of the metrics used; the others of X have `coef_` 0. Beside it, those of
        `ScaledLinear`.
    """

    reach = 1.0

    def __init__(self, own: Sequence[str] = (*LABELLED, *UNLABELLED)) -> None:
        self.own = own

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on member rows.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n, p)
            Metrics by name; of an array all columns are used.
        y : array-like of shape (n,)
            Retention of each row's member.

        Raises
        ------
        UsageError
            A frame without any of the retention metrics.
        """
        Z, y, names, columns = self._learn_use(X, y)
        self.fades_ = np.isin(names, PAIR)
        self.coef_[columns] = np.linalg.lstsq(Z[:, columns], y - self.intercept_, rcond=None)[0]
        return self

    def _learn_use(self, X: Any, y: Any) -> tuple[Floats, Floats, list[str], list[int]]:
        """Standardised X, y, names of X's columns and where those used are; a level, no effect."""
        Z, y = self._learn_scale(X, y)
        named = hasattr(self, "feature_names_in_")
        names = self.feature_names_in_.tolist() if named else list(map(str, range(Z.shape[1])))
        self.used_ = self._choose(names) if named else names
        columns = [names.index(name) for name in self.used_]
        self.intercept_ = float(y.mean())
        self.coef_ = np.zeros(Z.shape[1])
        return Z, y, names, columns

    def _choose(self, names: list[str]) -> list[str]:
        retention = [name for name in self.own if name in names][:1]
        if not retention:
            raise UsageError(
                "retention metrics",
                f"none of {', '.join(self.own)} is in the pair table",
                "compute them with `mergecast metrics --tasks FILE --tier activations`",
            )
        return retention + [name for name in PAIR if name in names]


@predictor(
    "superposition_unlabelled",
    "the same without labels",
    needs=SUPERPOSED,
    stored=LinearModel,
    own=SUPERPOSED,
)
@predictor(
    "superposition",
    "what a merge keeps as superposed shifts have it, and the overlap of right subspaces",
    needs=(*SUPERPOSED_LABELLED, *SUPERPOSED),
    stored=LinearModel,
    own=(*SUPERPOSED_LABELLED, *SUPERPOSED),
)
class SuperposedLinear(RetentionLinear):
    """y(i | j) = x + c + β · x of i and j + γ · overlap of i and j, x being superposed retention.

    What superposed shifts keep is a forecast as it stands; outcomes decide what is added to it: a
    level c, a slope and the overlap's effect. A slope is what holds least in other families: β is
    shrunken towards none. All that is added, on metrics less their means, fades out together where
    one of the two is outside its training range, up to `reach` widths. Beyond, the forecast is x.
    Where rows are of several kinds of models, each kind counts as much as any other.

    Attributes
    ----------
    offset_ : str
        The name of x; of an array, its first column.
    """

    #: Ridge penalty on β, in variances of x: of OLS's slope four fifths of its distance to 1 stay.
    shrinkage = 0.25

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on member rows; arguments as of `RetentionLinear.fit`."""
        Z, y, _, columns = self._learn_use(X, y)
        weights = kin_weights(X, len(y))
        rest = y - metrics_of(self, X)[:, columns[0]]
        used = np.column_stack([np.ones(len(y)), Z[:, columns]])
        penalty = np.zeros(len(columns) + 1)
        penalty[1] = self.shrinkage * len(y)
        gram = (used.T * weights) @ used + np.diag(penalty)
        level, *effects = np.linalg.lstsq(gram, (used.T * weights) @ rest, rcond=None)[0]
        self.intercept_ += float(level)
        self.coef_[columns] = effects
        return self

    def _learn_use(self, X: Any, y: Any) -> tuple[Floats, Floats, list[str], list[int]]:
        """As of `RetentionLinear`, and which metric counts as it is; nothing is added to it yet."""
        Z, y, names, columns = super()._learn_use(X, y)
        self.offset_ = self.used_[0]
        self._offset_column = columns[0]
        self.fades_ = np.isin(names, self.used_)
        self.intercept_ = float(self.mean_[columns[0]])
        return Z, y, names, columns

    def predict(self, X: Any) -> Floats:
        """Predicted outcome, (n,); not clipped."""
        return super().predict(X) + self._as_it_is(metrics_of(self, X))

    def _as_it_is(self, X: Floats) -> Floats:
        """x less its mean in training, and less as much of the level as has faded out, (n,)."""
        column = self._offset_column
        mean = self.mean_[column]
        share = faded(X, self.low_, self.high_, self.reach, self.fades_)
        return np.asarray(X[:, column] - mean - (1 - share) * (self.intercept_ - mean))


@predictor(
    "superposed_unlabelled",
    "the same without labels",
    needs=SUPERPOSED,
    stored=LinearModel,
    own=SUPERPOSED,
)
@predictor(
    "superposed",
    "what a merge keeps as superposed shifts have it, nothing fitted",
    needs=(*SUPERPOSED_LABELLED, *SUPERPOSED),
    stored=LinearModel,
    own=(*SUPERPOSED_LABELLED, *SUPERPOSED),
)
class AsSuperposed(SuperposedLinear):
    """y(i | j) = x of i and j, x being superposed retention: outcomes decide intervals alone.

    Attributes
    ----------
    offset_ : str
        The name of x; of an array, its first column.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Take x's range; arguments as of `RetentionLinear.fit`."""
        self._learn_use(X, y)
        return self

    def _choose(self, names: list[str]) -> list[str]:
        return super()._choose(names)[:1]
