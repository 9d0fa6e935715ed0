"""Pair probes: how the first model of a pair fares in the merge itself, on a few samples.

Keys are ``probe_<form>_<way>``; see `mergecast.evidence.retention.forms`.
"""

from __future__ import annotations

from mergecast.evidence.kind import EVIDENCE, EvidenceKind
from mergecast.evidence.metric import metric
from mergecast.evidence.readings import PairReadings
from mergecast.evidence.retention.forms import Form, ways

EVIDENCE.add("probe", EvidenceKind("probe", "probe", "mergecast.evidence.retention.probe"))


def _register(key: str, way: str, form: Form) -> None:
    words = form.in_words(way)

    @metric(
        f"probe_{key}",
        family="probe",
        tier="probe",
        symmetric=False,
        range=form.range,
        source=f"mergecast: the merge on task i's calibration samples; {words}",
        sets=("probe",),
        evidence="probe",
        per_method=True,
    )
    def together(pair: PairReadings, method: str) -> float:
        """The value of the pair's first model beside its second."""
        return pair.value(method, key)


for _key, _way, _form in ways():
    _register(_key, _way, _form)
