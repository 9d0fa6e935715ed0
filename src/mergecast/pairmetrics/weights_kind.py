"""The weights tier as a kind of evidence: collected from the block stream, no model is run."""

from __future__ import annotations

import time

import numpy as np

from mergecast.family.blocks import MEMORY_BUDGET
from mergecast.family.family import Family
from mergecast.fingerprints.spectra import spectrum
from mergecast.fingerprints.weights import DIRECTIONS, collect
from mergecast.pairmetrics.evidence import EVIDENCE, EvidenceKind, Request, Work
from mergecast.pairmetrics.pair import WeightEvidence

#: Rows and columns of the matrix whose decomposition is timed for a plan.
_TIMED = 256


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
    in_memory = min(4 * (family.size + 1) * max(sizes), MEMORY_BUDGET)
    return Work(
        loads=family.size + 1,
        memory=2 * in_memory,  # the next block is read ahead
        seconds=family.size * _decompositions(family) / max(1, request.workers),
    )


def _decompositions(family: Family) -> float:
    """Seconds to decompose one model's matrices on one core, scaled from one that is timed."""
    timed = np.random.default_rng(0).standard_normal((_TIMED, _TIMED)).astype(np.float32)
    start = time.perf_counter()
    spectrum(timed, DIRECTIONS, 0.0)
    rate = (time.perf_counter() - start) / _TIMED**3
    shapes = [family.base.info(name).shape for name in family.shared]
    return sum(rate * min(s) ** 2 * max(s) for s in shapes if len(s) == 2)


EVIDENCE.add("weights", EvidenceKind("weights", "weights", _collect, _work))
