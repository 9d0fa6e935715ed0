"""A stored `AdditivePlus`: effects of models and metrics, with every shape checked."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from pydantic import Field, model_validator

from mergecast.forecast.estimators.additive_plus import AdditivePlus
from mergecast.forecast.strict import NonNegative, Positive, Strict

Vector = list[float]
Matrix = list[list[float]]
#: Null where the metric is constant in training: it then counts nothing.
Scales = list[Positive | None]

# Names of the two lengths, in errors.
_M, _P = "model", "metric"


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


class AdditiveModel(Strict):
    """All that `AdditivePlus.predict` needs; see there for what the terms are.

    A metric counts up to `reach` widths of its training range [low, high] beyond that range.
    """

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

    def estimator(self) -> AdditivePlus:
        """The fitted estimator."""
        return AdditivePlus.from_dict(self.model_dump())


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


def _check(name: str, rows: list[Any], shape: list[tuple[int, str]]) -> None:
    (length, axis), *rest = shape
    if len(rows) != length:
        raise ValueError(f"{name} has {len(rows)} entries, expected {length}, one for each {axis}")
    for k, row in enumerate(rows if rest else []):
        _check(f"{name}[{k}]", row, rest)
