"""`AdditivePlus` as a predictor, and how it is stored: effects, with every shape checked."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from mergecast.errors import UsageError
from mergecast.forecast.estimators.additive_plus import FEW, AdditivePlus
from mergecast.forecast.estimators.descriptors import Descriptors
from mergecast.forecast.estimators.effects import Effects
from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.estimators.stored import (
    NonNegative,
    Positive,
    Reasons,
    StoredModel,
    Strict,
    sorted_reasons,
)
from mergecast.forecast.rows import IDENTITY
from mergecast.typing import Floats

if TYPE_CHECKING:
    import pandas as pd

    from mergecast.forecast.training import TrainingRows

Vector = list[float]
Matrix = list[list[float]]
#: Null where the metric is constant in training: it then counts nothing.
Scales = list[Positive | None]

# Names of the two lengths, in errors.
_M, _P = "model", "metric"

# No training suite begins with it: models of a suite so called are known by nobody.
_STRANGER = "\t"


class EffectsPart(Strict):
    """`mergecast.forecast.estimators.effects.Effects` of m models and p metrics, in retention."""

    mean: float
    member: Vector = Field(description="(m,)")
    partner: Vector = Field(description="(m,)")
    own_metrics: Vector = Field(description="(p,)")
    partner_metrics: Vector = Field(description="(p,)")
    member_slopes: Matrix = Field(description="(m, p)")
    partner_slopes: Matrix = Field(description="(m, p)")


class DescriptorsPart(Strict):
    """`Descriptors`: p numbers each; own and other (m, p)."""

    mean: Vector
    scale: Scales
    own: Matrix
    other: Matrix
    shrink_own: list[NonNegative]
    shrink_other: list[NonNegative]
    own_mean: Vector
    own_scale: Scales
    other_mean: Vector
    other_scale: Scales


class AdditiveModel(StoredModel):
    """All that `AdditivePlus.predict` needs; see there for what the terms are.

    A metric counts up to `reach` widths of its training range [low, high] beyond that range.
    """

    kind: Literal["additive"] = "additive"
    by_name: bool = Field(description="whether effects belong to models by (suite, label)")
    length: Positive
    metrics: list[str] = Field(min_length=1, description="p names")
    reach: NonNegative | None
    low: Vector
    high: Vector
    variances: dict[str, NonNegative] = Field(description="variance of each term of the fit")
    models: list[tuple[str, str]] = Field(min_length=1, description="m times (suite, label)")
    effects: EffectsPart
    descriptors: DescriptorsPart

    @model_validator(mode="after")
    def _consistent(self) -> AdditiveModel:
        for name, values in (("models", self.models), ("metrics", self.metrics)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} has an entry twice")
        lengths = {_M: len(self.models), _P: len(self.metrics)}
        for name, shape in _SHAPES.items():
            _check(name, attrgetter(name)(self), [(lengths[axis], axis) for axis in shape])
        for name, low, high in zip(self.metrics, self.low, self.high, strict=True):
            if low > high:
                raise ValueError(f"metric {name!r} has low above high")
        return self

    @classmethod
    def of(cls, estimator: Any, rows: TrainingRows) -> Self:
        """The stored form of an `AdditivePlus`; see `StoredModel.of`.

        Raises
        ------
        UsageError
            Fitted on an array, whose metrics have no names.
        """
        del rows
        if not hasattr(estimator, "feature_names_in_"):
            raise UsageError("AdditivePlus", "fitted on an array", "fit it on a frame")
        descriptors = _plain(estimator.descriptors_)
        return cls(
            by_name=estimator.by_name,
            length=estimator.length,
            metrics=estimator.feature_names_in_.tolist(),
            reach=estimator.reach,
            low=estimator.low_.tolist(),
            high=estimator.high_.tolist(),
            variances=estimator.variances_,
            models=[name.split("\t", 1) for name in descriptors.pop("models")],
            effects=EffectsPart(**_plain(estimator.effects_)),
            descriptors=DescriptorsPart(**descriptors),
        )

    def estimator(self) -> AdditivePlus:
        """The fitted estimator."""
        fitted = AdditivePlus(self.by_name, self.length, self.metrics, self.reach)
        fitted.feature_names_in_ = np.array(self.metrics, dtype=object)
        fitted.n_features_in_ = len(self.metrics)
        fitted.low_, fitted.high_ = np.array(self.low), np.array(self.high)
        models = np.array(["\t".join(name) for name in self.models], dtype=str)
        fitted.descriptors_ = Descriptors(models, **_arrays(self.descriptors))
        effects = _arrays(self.effects)
        fitted.effects_ = Effects(float(effects.pop("mean")), **effects)
        return fitted

    @property
    def needs(self) -> list[str]:
        """Names of the metrics read."""
        return self.metrics

    @property
    def known_models(self) -> set[tuple[str, str]]:
        """(suite, label) of the training models, where effects belong to them by name."""
        return set(self.models) if self.by_name else set()

    @property
    def summary(self) -> str:
        """The metrics; beside them, models that are alike in them."""
        return f"{', '.join(self.metrics)}, and models like them"

    def predict(self, rows: pd.DataFrame, suite: str | None = None) -> tuple[Floats, list[Reasons]]:
        """See `StoredModel.predict`; the rows of one call are read as one family."""
        values = rows.reindex(columns=self.metrics).to_numpy(dtype="float64")
        complete = np.flatnonzero(~np.isnan(values).any(axis=1))
        retention = np.full(len(rows), np.nan)
        reasons: list[Reasons] = [[] for _ in range(len(rows))]
        if not len(complete):
            return retention, reasons
        estimator = self.estimator()
        X = rows.reindex(columns=[*IDENTITY, *self.metrics]).iloc[complete].reset_index(drop=True)
        X["suite"] = X["suite"].where(X["suite"] == suite, _STRANGER + X["suite"])
        shares = estimator.shares(X)
        retention[complete] = estimator.total(shares)
        # What the name of an effect rests on: outcomes of the model itself, or of models like it.
        effect = "known outcomes of {}" if self.by_name else "models like {}"
        for k, row in enumerate(complete):
            effects = [float(shares.member[k]), float(shares.partner[k])]
            labels = [effect.format(X[side].iloc[k]) for side in ("member", "partner")]
            reasons[row] = sorted_reasons(
                [*self.metrics, *labels],
                np.append(values[row], effects),
                np.append(shares.metrics[k], effects),
            )
        return retention, reasons


_SHAPES: dict[str, tuple[str, ...]] = {
    "low": (_P,),
    "high": (_P,),
    "effects.member": (_M,),
    "effects.partner": (_M,),
    "effects.own_metrics": (_P,),
    "effects.partner_metrics": (_P,),
    "effects.member_slopes": (_M, _P),
    "effects.partner_slopes": (_M, _P),
    "descriptors.mean": (_P,),
    "descriptors.scale": (_P,),
    "descriptors.own": (_M, _P),
    "descriptors.other": (_M, _P),
    "descriptors.shrink_own": (_P,),
    "descriptors.shrink_other": (_P,),
    "descriptors.own_mean": (_P,),
    "descriptors.own_scale": (_P,),
    "descriptors.other_mean": (_P,),
    "descriptors.other_scale": (_P,),
}


def _plain(state: Descriptors | Effects) -> dict[str, Any]:
    """A dataclass of arrays as lists; a constant metric has an infinite scale, stored as None."""
    lists: dict[str, Any] = {key: np.asarray(value).tolist() for key, value in vars(state).items()}
    for key in [key for key in lists if key.endswith("scale")]:
        lists[key] = [scale if np.isfinite(scale) else None for scale in lists[key]]
    return lists


def _arrays(part: Strict) -> dict[str, Floats]:
    """What `_plain` gave, checked, as arrays again."""
    lists = part.model_dump()
    for key in [key for key in lists if key.endswith("scale")]:
        lists[key] = [np.inf if scale is None else scale for scale in lists[key]]
    return {key: np.array(values, dtype=np.float64) for key, values in lists.items()}


def _check(name: str, rows: list[Any], shape: list[tuple[int, str]]) -> None:
    (length, axis), *rest = shape
    if len(rows) != length:
        raise ValueError(f"{name} has {len(rows)} entries, expected {length}, one for each {axis}")
    for k, row in enumerate(rows if rest else []):
        _check(f"{name}[{k}]", row, rest)


predictor(
    "additive_plus",
    "own + partner + interaction, models known by their metrics",
    stored=AdditiveModel,
    by_name=False,
    metrics=FEW,
    reach=1.0,
)(AdditivePlus)
predictor(
    "additive_plus_warm",
    "own + partner + interaction, models known by their outcomes",
    warm=True,
    stored=AdditiveModel,
    metrics=FEW,
    reach=1.0,
)(AdditivePlus)
