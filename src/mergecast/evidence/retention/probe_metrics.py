"""Pair probes: how the first model of a pair fares in the merge itself, on a few samples.

Keys are ``probe_<form>_<reference>@<method>``, forms as in `mergecast.evidence.retention.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable

from mergecast.evidence.costs import merge_seconds
from mergecast.evidence.kind import EVIDENCE, EvidenceKind, Request, Work, float32_bytes
from mergecast.evidence.labelled import LabelledEvidence, LabelledPair
from mergecast.evidence.metric import metric
from mergecast.evidence.retention.metrics import BUILT_IN_METHODS, forms, probed_methods


def _collect(request: Request) -> LabelledEvidence:
    from mergecast.evidence.retention.pair_probe import collect_pair_probes

    pairs = request.family.size * (request.family.size - 1) // 2
    methods = probed_methods(request)
    advance = request.progress.stage("pair probes", pairs * len(methods))
    return LabelledEvidence(
        collect_pair_probes(
            request.probed, methods=methods, settings=request.merges, advance=advance
        )
    )


def _work(request: Request) -> Work:
    """A merge and two passes for every pair and method."""
    n = request.family.size
    pairs, methods = n * (n - 1) // 2, probed_methods(request)
    merges = pairs * len(methods)
    return Work(
        forward_passes=2 * merges,
        forward_samples=2 * merges * request.merge_samples,
        loads=3 * merges,
        memory=4 * float32_bytes(request),
        seconds=pairs * sum(merge_seconds(request, method, "model") for method in methods),
    )


EVIDENCE.add("probe", EvidenceKind("probe", "probe", _collect, _work))


def register_probe(method: str) -> None:
    """Register every probe metric of a merging method; done for the built-in ones."""
    for form, reference, bounds, _tier, words in forms():
        metric(
            f"probe_{form}_{reference}@{method}",
            family="probe",
            tier="probe",
            symmetric=False,
            range=bounds,
            source=f"mergecast: the merge on task i's calibration samples; {words}",
            sets=("probe",),
            evidence="probe",
            method=method,
        )(_reader(method, f"{form}_{reference}"))


def _reader(method: str, form: str) -> Callable[[LabelledPair], float]:
    def read(pair: LabelledPair) -> float:
        """The value of the pair's first model beside its second."""
        return float(pair.fingerprints.value(*pair.labels, method, form))

    return read


for _method in BUILT_IN_METHODS:
    register_probe(_method)
