"""Kinds of evidence: what is collected once a family so that metrics of pairs are cheap.

A kind belongs to a tier and says how it is collected and what that costs. Metrics name the kind
they take; the table collects every kind up to the tier asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from mergecast.errors import UsageError
from mergecast.evidence.metric import metric_specs
from mergecast.evidence.session import ProbedFamily, ProbeSettings
from mergecast.evidence.settings import MergeSettings
from mergecast.family.family import Family
from mergecast.registry import Registry
from mergecast.runtime.progress import Progress, Silent
from mergecast.tables.columns import Column
from mergecast.tables.tiers import TIERS, Tier, known_tier

if TYPE_CHECKING:
    from mergecast.tasks.task import Task


class PairEvidence(Protocol):
    """One ordered pair, as the metrics of one kind see it."""

    @property
    def labels(self) -> tuple[str, str]:
        """Labels of the two models."""

    def swapped(self) -> PairEvidence:
        """The same models, the other one first."""


class FamilyEvidence(Protocol):
    """One kind of evidence of a whole family."""

    def pair(self, left: str, right: str) -> PairEvidence:
        """Two models in order; raises UndefinedError where there is none of one of them."""


@dataclass
class Request:
    """What is asked for.

    Attributes
    ----------
    family : base and models.
    tasks : model label to task; needed above the weights tier.
    settings : how models are run.
    merges : how merges are made and measured, for retention, interference and pair probes.
    workers : threads of the weights tier.
    on_error : ``refuse`` sets models with non-finite weights aside instead of raising.
    progress : where stages are reported.
    """

    family: Family
    tasks: Mapping[str, Task] | None = None
    settings: ProbeSettings = field(default_factory=ProbeSettings)
    workers: int = 2
    on_error: Literal["raise", "refuse"] = "raise"
    progress: Progress = field(default_factory=Silent)
    merges: MergeSettings = field(default_factory=MergeSettings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if "probed" in vars(self):
            self.probed.__exit__(*error)

    @property
    def merge_samples(self) -> int:
        """Calibration samples a task on which merges are measured."""
        return self.merges.samples or self.settings.calibration

    @cached_property
    def probed(self) -> ProbedFamily:
        """The family with its tasks; ends with this request. Raises UsageError without tasks."""
        if self.tasks is None:
            raise UsageError(
                "tasks", "none given", "give one for every model: only weights need none"
            )
        return ProbedFamily(self.family, self.tasks, self.settings)


@dataclass(frozen=True)
class Work:
    """What collecting a kind of evidence takes.

    Attributes
    ----------
    forward_passes, backward_passes : passes of one model over one set of samples.
    forward_samples, backward_samples : samples in all of them together.
    held_samples : samples whose activations a backward pass keeps; 0 for those of a batch.
    loads : models read and loaded.
    kept : bytes written to the cache.
    memory : bytes in memory at once, a batch's own activations aside.
    seconds : work besides loading and passes.
    """

    forward_passes: int = 0
    backward_passes: int = 0
    forward_samples: int = 0
    backward_samples: int = 0
    held_samples: int = 0
    loads: int = 0
    kept: int = 0
    memory: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class EvidenceKind:
    """A kind of evidence.

    Attributes
    ----------
    name : what metrics call it.
    tier : the tier it belongs to.
    collect : request to the evidence of the family.
    work : request to what collecting takes, for `plan`; None where it adds nothing to speak of.
    """

    name: str
    tier: Tier
    collect: Callable[[Request], Any]
    work: Callable[[Request], Work] | None = None


EVIDENCE: Registry[EvidenceKind] = Registry("evidence kind")


def kinds(
    tier: str, metric_set: str | None = None, keys: Collection[str] | None = None
) -> list[EvidenceKind]:
    """The kinds of a tier and of those before it, cheapest first; raises UsageError.

    Of a metric set only those that its metrics take, and weights, which tell usable models.
    `keys` narrows it to some metrics further (names without their ``@<method>``).
    """
    reach = TIERS.index(known_tier(tier))
    taken = [
        spec
        for spec in metric_specs(metric_set)
        if keys is None or Column.parse(spec.key).name in keys
    ]
    wanted = {"weights", *(spec.evidence for spec in taken)}
    return sorted(
        (kind for kind in EVIDENCE if TIERS.index(kind.tier) <= reach and kind.name in wanted),
        key=lambda kind: TIERS.index(kind.tier),
    )


def float32_bytes(request: Request) -> int:
    """Bytes of one model's tensors in memory, in float32."""
    return 4 * sum(info.size for info in request.family.base.infos.values())
