"""The weights tier as a kind of evidence: collected from the block stream, no model is run."""

from __future__ import annotations

from mergecast.evidence.costs import decomposition_seconds
from mergecast.evidence.kind import EVIDENCE, EvidenceKind, Request, Work
from mergecast.evidence.weights.fingerprints import collect
from mergecast.evidence.weights.pair import WeightEvidence
from mergecast.family.blocks import MEMORY_BUDGET


def _collect(request: Request) -> WeightEvidence:
    advance = request.progress.stage("weights", len(request.family.shared))
    fingerprints = collect(
        request.family,
        workers=request.workers,
        on_error=request.on_error,
        progress=lambda _done, _total: advance(1),
    )
    return WeightEvidence(fingerprints)


def _work(request: Request) -> Work:
    family = request.family
    sizes = [family.base.info(name).size for name in family.shared]
    shapes = [family.base.info(name).shape for name in family.shared]
    in_memory = min(4 * (family.size + 1) * max(sizes), MEMORY_BUDGET)
    return Work(
        loads=family.size + 1,
        memory=2 * in_memory,  # the next block is read ahead
        seconds=family.size * decomposition_seconds(shapes) / max(1, request.workers),
    )


EVIDENCE.add("weights", EvidenceKind("weights", "weights", _collect, _work))
