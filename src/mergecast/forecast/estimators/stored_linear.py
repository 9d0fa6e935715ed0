"""A stored linear forecast: intercept + Σ coefficient (metric − mean) / scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from sklearn.dummy import DummyRegressor

from mergecast.errors import UsageError
from mergecast.forecast.estimators.scaling import faded, within
from mergecast.forecast.estimators.stored import (
    NonNegative,
    Positive,
    Reasons,
    StoredModel,
    Strict,
    sorted_reasons,
)
from mergecast.typing import Floats

if TYPE_CHECKING:
    import pandas as pd

    from mergecast.forecast.training import TrainingRows


class Term(Strict):
    """A metric that moves the number.

    Attributes
    ----------
    name : str
        The metric.
    coefficient : float
        Retention per standard deviation of the metric.
    mean, scale : float
        Of the metric in training; the scale is its standard deviation.
    low, high : float
        Its range in training.
    fades : bool
        Whether it counts less and less beyond its range, and not at all at the model's reach; and
        with it all others that do so.
    """

    name: str
    coefficient: float = Field(description="retention per standard deviation of the metric")
    mean: float
    scale: Positive
    low: float
    high: float
    fades: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Term:
        if self.low > self.high:
            raise ValueError(f"term {self.name!r} has low above high")
        return self


class LinearModel(StoredModel):
    """A linear fit, or the constant, which has no terms.

    Attributes
    ----------
    intercept : float
        Forecast where every metric has its training mean.
    reach : float
        A metric counts up to so many widths of its training range beyond that range: further out
        its effect was never tested.
    terms : list of Term
        Metrics with an effect.
    offset : str
        One of them that is a forecast already: it counts as it is, its term is what is added, and
        as far as terms fade the number is the metric itself. Empty for none.
    """

    kind: Literal["linear"] = "linear"
    intercept: float
    reach: NonNegative
    terms: list[Term]
    offset: str = ""

    @model_validator(mode="after")
    def _offset_among_terms(self) -> LinearModel:
        if self.offset and self.offset not in self.needs:
            raise ValueError(f"offset {self.offset!r} has no term")
        return self

    @classmethod
    def of(cls, estimator: Any, rows: TrainingRows) -> Self:
        """The stored form of a `LimitedLinear` or of the constant; see `StoredModel.of`.

        Raises
        ------
        UsageError
            Fitted on an array, whose metrics have no names.
        """
        if isinstance(estimator, DummyRegressor):
            return cls(intercept=float(rows.y.mean()), reach=0.0, terms=[])
        if not hasattr(estimator, "feature_names_in_"):
            raise UsageError(type(estimator).__name__, "fitted on an array", "fit it on a frame")
        columns = zip(
            estimator.feature_names_in_.tolist(),
            estimator.coef_.tolist(),
            estimator.mean_.tolist(),
            estimator.scale_.tolist(),
            estimator.low_.tolist(),
            estimator.high_.tolist(),
            np.broadcast_to(estimator.fades_, len(estimator.coef_)).tolist(),
            strict=True,
        )
        names = ("name", "coefficient", "mean", "scale", "low", "high", "fades")
        offset = getattr(estimator, "offset_", "")
        fields = [dict(zip(names, column, strict=True)) for column in columns]
        terms = [
            # A metric that was constant in training has no scale, nor an effect.
            Term(**{**field, "scale": field["scale"] if np.isfinite(field["scale"]) else 1.0})
            for field in fields
            if field["coefficient"] or field["name"] == offset
        ]
        return cls(
            intercept=estimator.intercept_, reach=estimator.reach, terms=terms, offset=offset
        )

    @property
    def needs(self) -> list[str]:
        """Names of the metrics with an effect."""
        return [term.name for term in self.terms]

    @property
    def fading(self) -> dict[str, float]:
        """See `StoredModel.fading`."""
        return {term.name: self.reach for term in self.terms if term.fades}

    @property
    def summary(self) -> str:
        """The strongest three metrics and their effects."""
        strongest = sorted(self.terms, key=lambda term: -abs(self._effect(term)))[:3]
        return ", ".join(f"{t.name} {self._effect(t):+.3f}" for t in strongest) or "none"

    def _effect(self, term: Term) -> float:
        """Retention per standard deviation of the metric, with what it counts as it is."""
        return term.coefficient + (term.scale if term.name == self.offset else 0.0)

    def predict(self, rows: pd.DataFrame, suite: str | None = None) -> tuple[Floats, list[Reasons]]:
        """See `StoredModel.predict`; no model is known by name."""
        del suite
        values = rows.reindex(columns=self.needs).to_numpy(dtype="float64")
        weights, means, scales, low, high = (
            np.array([getattr(term, field) for term in self.terms], dtype=np.float64)
            for field in ("coefficient", "mean", "scale", "low", "high")
        )
        contributions = weights * (within(values, low, high, self.reach) - means) / scales
        fades = np.array([term.fades for term in self.terms], dtype=bool)
        # Without terms that fade, as in ridge and lasso, the reach may be 0.
        share = faded(values, low, high, self.reach, fades) if fades.any() else np.ones(len(values))
        contributions *= np.where(fades, share[:, None], 1)
        if self.offset:
            column = self.needs.index(self.offset)
            added = self.intercept - means[column]
            contributions[:, column] += values[:, column] - means[column] - (1 - share) * added
        reasons = [
            sorted_reasons(self.needs, *row) for row in zip(values, contributions, strict=True)
        ]
        # NaN in any needed metric makes the sum, hence the row, NaN.
        return self.intercept + contributions.sum(axis=1), reasons
