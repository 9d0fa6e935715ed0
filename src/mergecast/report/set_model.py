"""What a report says of sets of several models and of strengths, as plain data."""

from __future__ import annotations

from typing import TypedDict


class _Set(TypedDict):
    members: list[str]
    predicted: float
    worst_member: str
    worst_predicted: float


class RankedSet(_Set):
    """A set of models: mean retention by the rule, and the plain mean over its pairs."""

    pair_mean: float


class MethodSets(TypedDict):
    """The best sets under one method; `n_without` hold a pair without a forecast."""

    method: str
    n_without: int
    ranking: list[RankedSet]


class BestSet(_Set):
    """A set under the method advised for it, with an interval of its mean retention."""

    method: str
    basis: str
    lower: float
    upper: float


class SetSummary(TypedDict):
    """Sets of `size` models: how many there are, the rule in words, the best by method.

    `best` are the best of all, each under its method; empty where sets are forecast from pairs,
    which do not choose between methods.
    """

    size: int
    n_sets: int
    rule: str
    best: list[BestSet]
    methods: list[MethodSets]


class BestStrength(TypedDict):
    """What a set keeps under a method at its best strength, and at the default one."""

    members: list[str]
    method: str
    strength: float
    kept: float
    low: float
    high: float
    worst_member: str
    worst_kept: float
    at_default: float | None
    default: float


class StrengthCurve(TypedDict):
    """What a set keeps in the mean over strength, with a 90 % interval: a value a strength."""

    members: list[str]
    method: str
    strengths: list[float]
    kept: list[float]
    low: list[float]
    high: list[float]
