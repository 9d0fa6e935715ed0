"""Kinds of evidence: what is collected once a family so that metrics of pairs are cheap.

A kind belongs to a tier and names the module that collects it. Metrics name the kind they read; a
table collects the kinds that its metrics read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from importlib import import_module
from math import prod
from typing import Any, Protocol, cast

from mergecast.evidence.metric import METRIC_MODULES, METRICS, MetricSpec, metric_specs
from mergecast.evidence.session import Session
from mergecast.family.family import Family
from mergecast.merging.decompositions import BUDGET
from mergecast.registry import Registry
from mergecast.runtime.stage import Stage
from mergecast.tables.tiers import TIERS, Tier, known_tier

_FLOAT32 = 4
#: The kind that every table collects: it tells which models can be used.
WEIGHTS = "weights"


class FamilyEvidence(Protocol):
    """One kind of evidence of a whole family."""

    def pair(self, first: str, second: str) -> Any:
        """What metrics read of two models, the one affected first.

        Raises UndefinedError where there is nothing of one of them; what it gives raises it
        where a value is asked for that is not defined.
        """


@dataclass(frozen=True)
class Step:
    """A part of collecting a kind: a plan times it once and multiplies.

    Attributes
    ----------
    run : callable
        Does it once: for one model, or one parameter of one merge.
    times : float
        How often it is done in all.
    forward, backward : int
        Passes of one model over one set of samples, each time.
    memory : int
        Bytes that the whole family holds at once beyond what one model does.
    """

    run: Callable[[], object]
    times: float
    forward: int = 0
    backward: int = 0
    memory: int = 0


def one_of_each_shape(family: Family) -> dict[str, int]:
    """A shared parameter of each shape, with how many have it: a plan merges these alone."""
    names: dict[tuple[int, ...], list[str]] = {}
    for name in family.shared:
        names.setdefault(family.base.info(name).shape, []).append(name)
    return {alike[0]: len(alike) for alike in names.values()}


def held_by_a_merge(family: Family) -> int:
    """Bytes that merging a model alone holds beyond what merging a parameter of each shape does.

    Those are the merged tensors, and decompositions that several methods share.
    """
    numbers, decomposed = 0, 0
    for name, count in one_of_each_shape(family).items():
        shape = family.base.info(name).shape
        numbers += count * prod(shape)
        if len(shape) == 2:
            decomposed += (count - 1) * min(shape) * (sum(shape) + 1)
    return _FLOAT32 * numbers + min(BUDGET, _FLOAT32 * decomposed)


class Collector(Protocol):
    """How a kind is collected: a module, or any object, with these names."""

    @property
    def STAGE(self) -> Stage:  # noqa: N802
        """What the evidence is made by."""

    def collect(self, session: Session) -> FamilyEvidence:
        """The evidence of the session's family; what the store holds is not made again."""

    def steps(self, session: Session) -> Iterator[Step]:
        """What collecting takes, in its order; each step is run before the next is asked for."""


@dataclass(frozen=True)
class EvidenceKind:
    """A kind of evidence.

    Attributes
    ----------
    name : str
        What metrics call it.
    tier : Tier
        The tier it belongs to.
    module : str
        The module that collects it (a `Collector`): imported when it is needed, since it may
        take torch, which metrics do without.
    default : bool
        Whether it is collected where no set of metrics was asked for.
    told_in : str
        The module whose docstring says what it is; `module` where it is empty.
    """

    name: str
    tier: Tier
    module: str
    default: bool = True
    told_in: str = ""

    @property
    def meaning(self) -> str:
        """What it is, in words."""
        return (import_module(self.told_in or self.module).__doc__ or "").strip()

    @property
    def collector(self) -> Collector:
        """How it is collected."""
        return cast(Collector, import_module(self.module))


EVIDENCE: Registry[EvidenceKind] = Registry("evidence kind", EvidenceKind, modules=METRIC_MODULES)


def wanted(
    tier: str, metric_set: str | None = None, keys: Collection[str] | None = None
) -> list[MetricSpec]:
    """The metrics of a tier and of those before it, in the order of registration.

    Those of a set, or those called `keys`; where neither is given, the metrics of all kinds of
    evidence that are collected by default.

    Raises UsageError for an unknown tier or set.
    """
    reach = TIERS[: TIERS.index(known_tier(tier)) + 1]
    return [
        spec
        for spec in metric_specs(metric_set)
        if spec.tier in reach
        and (keys is None or spec.key in keys)
        and (metric_set or keys is not None or EVIDENCE.get(spec.evidence).default)
    ]


def with_companions(keys: Collection[str], others: Collection[str]) -> set[str]:
    """`keys`, and those of `others` that come with them: of the same kinds of evidence, or weights.

    A forecaster asks for what its richest models read; what its others read is then there for
    them where it takes nothing more.
    """
    kinds = {WEIGHTS, *(METRICS.get(key).evidence for key in keys if key in METRICS)}
    return {
        *keys,
        *(key for key in others if key in METRICS and METRICS.get(key).evidence in kinds),
    }


def kinds_of(specs: Collection[MetricSpec]) -> list[EvidenceKind]:
    """The kinds of evidence that metrics read, and weights; cheapest first."""
    names = {WEIGHTS, *(spec.evidence for spec in specs)}
    return sorted((EVIDENCE.get(name) for name in names), key=_place)


def _place(kind: EvidenceKind) -> tuple[int, int]:
    return TIERS.index(kind.tier), EVIDENCE.names().index(kind.name)
