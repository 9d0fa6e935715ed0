"""What a tier costs, said before it is paid: every step is done once, timed and multiplied."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from mergecast.evidence.kind import EvidenceKind, kinds_of, wanted
from mergecast.evidence.session import Session

#: Samples that are run before anything is timed: the first pass sets up what later ones reuse.
_FIRST_SAMPLES = 4


@dataclass(frozen=True)
class PlanRow:
    """The cost of one kind of evidence.

    Attributes
    ----------
    kind, tier : str
        What is collected, and in which tier.
    forward_passes, backward_passes : int
        Passes of one model over one set of samples.
    kept, memory : int
        Bytes written to the cache, and of the process at its peak so far.
    minutes : float
        On this machine, finished units in the cache not counted off.
    """

    kind: str
    tier: str
    forward_passes: int
    backward_passes: int
    kept: int
    memory: int
    minutes: float


def plan(
    session: Session,
    tier: str,
    metric_set: str | None = None,
    keys: Collection[str] | None = None,
) -> list[PlanRow]:
    """The cost of every kind of evidence of a tier, cheapest tier first; see `wanted`.

    Raises what collecting would raise on the first model: a plan that can be made can begin.
    """
    metrics = wanted(tier, metric_set, keys)
    with replace(
        session,
        settings=replace(session.settings, cache=None),
        keys=[spec.key for spec in metrics],
    ) as trial:
        if tier != "weights":
            label = trial.family.names[0]
            trial.load(label).forward(next(trial.samples(label).batches(_FIRST_SAMPLES)))
        return [cost(kind, trial) for kind in kinds_of(metrics)]


def pass_seconds(session: Session, label: str) -> float:
    """Seconds that a model takes for one sample forward, once it is warm."""
    import torch

    batch = next(session.merge_samples(label).batches(session.settings.batch_size))
    probe = session.load(label)
    with torch.no_grad():
        probe.forward(batch)  # what the first pass sets up is not timed
        start = time.perf_counter()
        probe.forward(batch)
        return (time.perf_counter() - start) / len(batch)


def cost(kind: EvidenceKind, trial: Session) -> PlanRow:
    """What a kind costs, from doing its steps in a session whose store is thrown away."""
    seconds, kept, forward, backward, memory = 0.0, 0.0, 0.0, 0.0, 0
    for step in kind.collector.steps(trial):
        written, start = _bytes_in(trial.store.folder), time.perf_counter()
        step.run()
        seconds += step.times * (time.perf_counter() - start)
        kept += step.times * (_bytes_in(trial.store.folder) - written)
        forward += step.times * step.forward
        backward += step.times * step.backward
        memory = max(memory, step.memory)
    return PlanRow(
        kind.name,
        kind.tier,
        round(forward),
        round(backward),
        round(kept),
        _peak() + memory,
        seconds / 60,
    )


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _peak() -> int:
    """Bytes of this process at its peak so far; 0 where unknown."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
