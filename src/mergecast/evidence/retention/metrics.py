"""Retention of the first model of a pair, alone: what a method costs it whoever the partner is.

Keys are ``retention_<form>_<way>``, and ``retention_scrambled_…`` where the partner's stand-in is
a scrambled copy of the model's own task vector instead of zero; forms and ways of asking are those
of `mergecast.evidence.retention.forms`.
"""

from __future__ import annotations

from mergecast.evidence.kind import EVIDENCE, EvidenceKind
from mergecast.evidence.metric import metric
from mergecast.evidence.readings import PairReadings
from mergecast.evidence.retention.forms import Form, ways
from mergecast.tables.tiers import Tier

EVIDENCE.add(
    "retention",
    EvidenceKind("retention", "activations", "mergecast.evidence.retention.collect"),
)
_TIERS: dict[str, Tier] = {"unlabelled": "activations", "labelled": "labels"}
_STAND_INS = {
    "base": ("retention", "s = 0"),
    "scrambled": (
        "retention_scrambled",
        "s = τᵢ with its inputs shuffled, mean of draws",
    ),
}


def _register(key: str, way: str, form: Form, stand_in: str) -> None:
    prefix, stands_in = _STAND_INS[stand_in]
    words = form.in_words(way)

    @metric(
        f"{prefix}_{key}",
        family="retention",
        tier=_TIERS[way],
        symmetric=False,
        range=form.range,
        source=f"mergecast: θ₀ + M(τᵢ, s, …, s) on task i's calibration samples; {stands_in}; "
        f"{words}",
        sets=("retention",),
        evidence="retention",
        per_method=True,
    )
    def alone(pair: PairReadings, method: str) -> float:
        """The value of the pair's first model."""
        return pair.alone(method, stand_in, key)


for _key, _way, _form in ways():
    _register(_key, _way, _form, "base")
    if _form.scrambled:
        _register(_key, _way, _form, "scrambled")
