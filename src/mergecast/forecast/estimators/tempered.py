"""Superposition, tempered where it says that much is lost by what the model keeps alone.

Superposed shifts overstate great losses: what two models do to each other is less than the sum of
both where the sum is large. What the model keeps merged alone, without a partner, lies on the other
side. A fifth of the way towards it errs less (`docs/unseen.md`), and how far the
two lie apart says how far off the forecast may be. Nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.errors import UsageError
from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.estimators.retention_linear import SUPERPOSED, SUPERPOSED_LABELLED
from mergecast.forecast.estimators.scaling import metrics_of
from mergecast.forecast.estimators.stored import (
    NonNegative,
    Positive,
    Reasons,
    StoredModel,
    sorted_reasons,
)
from mergecast.forecast.rows import without_identity
from mergecast.typing import Floats

if TYPE_CHECKING:
    import pandas as pd

    from mergecast.forecast.training import TrainingRows

#: How far towards what the model keeps alone, and from which loss on so far; in proportion below.
#: Chosen on six suites of three kinds of models; on today's 0.1 to 0.2 and 0.05 to 0.2 serve alike.
SHARE: Final = 0.2
GREAT_LOSS: Final = 0.1


def alone_of(superposed: str) -> str:
    """The metric of a model alone that stands beside one of superposition, in the same form."""
    return superposed.replace("superposed_", "retention_", 1)


_LABELLED: Final = tuple((name, alone_of(name)) for name in SUPERPOSED_LABELLED)
_UNLABELLED: Final = tuple((name, alone_of(name)) for name in SUPERPOSED)


def tempered(superposed: Floats, alone: Floats, share: float, great_loss: float) -> Floats:
    """Retention by superposition, moved towards that of the model alone, (n,) each."""
    how_far = share * np.clip((1 - superposed) / great_loss, 0.0, 1.0)
    return np.asarray(superposed + how_far * (alone - superposed))


class TemperedModel(StoredModel):
    """The stored form: two metrics and how they are put together.

    Attributes
    ----------
    superposed, alone : str
        Retention by superposition, and that of the model alone.
    mean : float
        Of the first in training, which reasons are counted from.
    share, great_loss : float
        See `tempered`.
    reach : float
        An interval widens up to so many widths of a metric's training range beyond that range.
    """

    kind: Literal["tempered"] = "tempered"
    tells_apart: ClassVar[bool] = True
    superposed: str
    alone: str
    mean: float
    share: NonNegative
    great_loss: Positive
    reach: NonNegative = 1.0

    @classmethod
    def of(cls, estimator: Any, rows: TrainingRows) -> Self:
        """The stored form of a `Tempered`; see `StoredModel.of`."""
        del rows
        return cls(
            superposed=estimator.superposed_,
            alone=estimator.alone_,
            mean=estimator.mean_,
            share=SHARE,
            great_loss=GREAT_LOSS,
        )

    @property
    def needs(self) -> list[str]:
        """The two metrics."""
        return [self.superposed, self.alone]

    @property
    def fading(self) -> dict[str, float]:
        """Both: they count as they are, wherever they lie."""
        return dict.fromkeys(self.needs, self.reach)

    @property
    def summary(self) -> str:
        """Both, by how far one is moved towards the other."""
        return f"{self.superposed}, up to {self.share:g} of the way to {self.alone}"

    def predict(self, rows: pd.DataFrame, suite: str | None = None) -> tuple[Floats, list[Reasons]]:
        """See `StoredModel.predict`; no model is known by name."""
        del suite
        values = rows.reindex(columns=self.needs).to_numpy(dtype="float64")
        numbers = tempered(values[:, 0], values[:, 1], self.share, self.great_loss)
        parts = np.column_stack([values[:, 0] - self.mean, numbers - values[:, 0]])
        reasons = [sorted_reasons(self.needs, *row) for row in zip(values, parts, strict=True)]
        return numbers, reasons

    def apart(self, rows: pd.DataFrame) -> Floats:
        """By how much the two metrics differ, (n,)."""
        values = rows.reindex(columns=self.needs).to_numpy(dtype="float64")
        return np.asarray(np.abs(values[:, 0] - values[:, 1]))


@predictor(
    "tempered_unlabelled",
    "the same without labels",
    needs=_UNLABELLED,
    stored=TemperedModel,
    forms=SUPERPOSED,
)
@predictor(
    "tempered",
    "superposition, where much is lost a fifth of the way to what a model keeps alone",
    needs=(*_LABELLED, *_UNLABELLED),
    stored=TemperedModel,
    forms=(*SUPERPOSED_LABELLED, *SUPERPOSED),
)
class Tempered(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """y(i | j) = x + w(x) · (a − x), x superposed retention of i beside j, a that of i alone.

    w grows with what x says is lost, up to `SHARE` where that is `GREAT_LOSS` or more. Outcomes
    decide intervals alone.

    Parameters
    ----------
    forms : sequence of str
        Names of superposition's metrics in order of preference; the first that X has, with what
        the model keeps alone beside it, is used.

    Attributes
    ----------
    superposed_, alone_ : str
        The two metrics; of an array, whose columns have no names, its first and its last.
    mean_ : float
        Of the first in training.
    """

    def __init__(self, forms: Sequence[str] = (*SUPERPOSED_LABELLED, *SUPERPOSED)) -> None:
        self.forms = forms

    def fit(self, X: Any, y: Any) -> Self:
        """Find the two metrics.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n, p)
            Metrics by name.
        y : array-like of shape (n,)
            Retention of each row's member; nothing is learned of it.

        Raises
        ------
        UsageError
            A frame without the two metrics.
        """
        values, _ = validate_data(self, without_identity(X), y, dtype=np.float64, y_numeric=True)
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            self.superposed_, self.alone_ = "0", str(values.shape[1] - 1)
        else:
            self.superposed_, self.alone_ = self._choose(names.tolist())
        self.mean_ = float(values[:, self._columns()[0]].mean())
        return self

    def predict(self, X: Any) -> Floats:
        """Predicted outcome, (n,); not clipped."""
        check_is_fitted(self)
        values = metrics_of(self, X)
        superposed, alone = (values[:, column] for column in self._columns())
        return tempered(superposed, alone, SHARE, GREAT_LOSS)

    def _columns(self) -> tuple[int, int]:
        """Where the two metrics stand in X."""
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            return int(self.superposed_), int(self.alone_)
        found = names.tolist()
        return found.index(self.superposed_), found.index(self.alone_)

    def _choose(self, names: Iterable[str]) -> tuple[str, str]:
        known = set(names)
        for form in self.forms:
            if {form, alone_of(form)} <= known:
                return form, alone_of(form)
        raise UsageError(
            "superposition and retention",
            f"the pair table has none of {', '.join(self.forms)} with what is kept alone beside it",
            "compute them with `mergecast metrics --tasks FILE --tier activations`",
        )
