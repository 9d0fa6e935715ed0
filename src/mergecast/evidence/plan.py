"""What a tier costs, said before it is paid: one model is timed on a few samples."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

from mergecast.evidence.kind import EvidenceKind, Request, Work, kinds

#: Samples of the first model that are timed.
_TIMED_SAMPLES = 4


@dataclass(frozen=True)
class PlanRow:
    """The cost of one kind of evidence.

    Attributes
    ----------
    kind, tier : what is collected, and in which tier.
    forward_passes, backward_passes : passes of one model over one set of samples.
    read, kept, memory : bytes read, written to the cache, and of the process at its peak.
    minutes : estimated on this machine, finished units in the cache not counted off.
    """

    kind: str
    tier: str
    forward_passes: int
    backward_passes: int
    read: int
    kept: int
    memory: int
    minutes: float


@dataclass
class Speed:
    """Seconds a load and a sample, and bytes a sample keeps for its backward pass."""

    load: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    saved: int = 0
    _measured: bool = field(default=False, repr=False)

    def measure(self, request: Request) -> None:
        """Load the first model and run a few of its samples, once."""
        if not self._measured:
            _measure(self, request)
            self._measured = True


def plan(request: Request, tier: str, metric_set: str | None = None) -> list[PlanRow]:
    """The cost of every kind of evidence up to `tier`, cheapest tier first; see `kinds`.

    Raises what collecting would raise on the first model: a plan that can be made can begin.
    """
    if tier != "weights":
        request.probed.probe(request.family.names[0])  # and the libraries that build it
    speed, before = Speed(), _resident()
    return [
        _row(kind, kind.work(request), request, speed, before)
        for kind in kinds(tier, metric_set)
        if kind.work
    ]


def _row(kind: EvidenceKind, work: Work, request: Request, speed: Speed, before: int) -> PlanRow:
    if work.forward_samples or work.backward_samples:
        speed.measure(request)
    seconds = (
        work.seconds
        + work.loads * speed.load
        + work.forward_samples * speed.forward
        + work.backward_samples * speed.backward
    )
    held = work.held_samples or min(request.settings.batch_size, request.settings.calibration)
    return PlanRow(
        kind.name,
        kind.tier,
        work.forward_passes,
        work.backward_passes,
        work.loads * model_bytes(request),
        work.kept,
        before + work.memory + (held * speed.saved if work.backward_samples else 0),
        seconds / 60,
    )


def _resident() -> int:
    """Bytes of this process so far: the interpreter and its libraries; 0 where unknown."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def model_bytes(request: Request) -> int:
    """Bytes of one model's tensors as they are stored in the base."""
    return sum(info.nbytes for info in request.family.base.infos.values())


def _measure(speed: Speed, request: Request) -> None:
    import torch

    label = request.family.names[0]
    start = time.perf_counter()
    probe = request.probed.load(label)
    speed.load = time.perf_counter() - start
    few = next(request.probed.samples(label).batches(_TIMED_SAMPLES))
    with torch.no_grad():
        probe.forward(few)  # the first call sets up what later ones reuse
        start = time.perf_counter()
        probe.forward(few)
    speed.forward = (time.perf_counter() - start) / len(few)
    if few.labels is None:
        speed.backward = 3 * speed.forward
        return
    from mergecast.evidence.gradients.backward import backward

    def count(tensor: torch.Tensor) -> torch.Tensor:
        known = tensor.untyped_storage().data_ptr() in weights
        speed.saved += 0 if known else tensor.numel() * tensor.element_size() // len(few)
        return tensor

    weights = {value.untyped_storage().data_ptr() for value in probe.state.values()}
    start = time.perf_counter()
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        backward(probe, few, request.family.shared, len(few))
    speed.backward = (time.perf_counter() - start) / len(few)
