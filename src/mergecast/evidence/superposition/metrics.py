"""Retention of the first model of a pair in their merge, as shifts and measured losses have it.

Keys are ``superposed_<form>_<way>``, and ``base_<form>_<way>`` for what the base with the task's
head does already, a merge of strength zero; forms and ways of asking are those of
`mergecast.evidence.retention.forms`.
"""

from __future__ import annotations

from mergecast.evidence.kind import EVIDENCE, EvidenceKind
from mergecast.evidence.metric import metric
from mergecast.evidence.readings import PairReadings
from mergecast.evidence.retention.forms import Form, ways
from mergecast.tables.tiers import Tier

EVIDENCE.add(
    "superposition",
    EvidenceKind(
        "superposition",
        "activations",
        "mergecast.evidence.superposition.collect",
        told_in="mergecast.evidence.superposition.shifts",
    ),
)
_TIERS: dict[str, Tier] = {"unlabelled": "activations", "labelled": "labels"}
_BASE = "base"


def _register(key: str, way: str, form: Form) -> None:
    words = form.in_words(way)

    @metric(
        f"superposed_{key}",
        family="superposition",
        tier=_TIERS[way],
        symmetric=False,
        range=form.range,
        source="mergecast: of f₀ + Δfᵢ(M) + Δfⱼ(M) on task i's calibration samples, after arXiv "
        "2305.12827 and 2402.03660, and half of it by what i loses beside a half and all of j; "
        f"{words}",
        sets=("superposition",),
        evidence="superposition",
        per_method=True,
    )
    def superposed(pair: PairReadings, method: str) -> float:
        """The value of the pair's first model beside its second."""
        return pair.value(method, key)

    @metric(
        f"base_{key}",
        family="base",
        tier=_TIERS[way],
        symmetric=False,
        range=form.range,
        source=f"mergecast: the base with task i's head on its calibration samples; {words}",
        sets=("superposition",),
        evidence="superposition",
    )
    def base(pair: PairReadings) -> float:
        """The value of the pair's first model."""
        return pair.alone(_BASE, key)


for _key, _way, _form in ways():
    _register(_key, _way, _form)
