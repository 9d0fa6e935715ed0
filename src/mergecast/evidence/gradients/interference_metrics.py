"""Interference by gradients, directed i ← j: what the partner's task vector does to the loss.

A merge is too far away for a tangent: these forms are collected only where the set of metrics
``interference`` is asked for.
"""

from __future__ import annotations

from functools import partial
from math import inf, sqrt

from mergecast.evidence.kind import EVIDENCE, EvidenceKind
from mergecast.evidence.metric import metric
from mergecast.evidence.readings import PairReadings

EVIDENCE.add(
    "interference",
    EvidenceKind(
        "interference", "gradients", "mergecast.evidence.gradients.interference", default=False
    ),
)
_interference = partial(
    metric,
    family="interference",
    tier="gradients",
    symmetric=False,
    sets=("interference",),
    evidence="interference",
)


@_interference(
    "interference_fisher", range=(0, inf), source="mergecast: mean over samples of ⟨g_sample, τⱼ⟩²"
)
def fisher(pair: PairReadings) -> float:
    """Second-order effect of the partner by the empirical Fisher matrix."""
    return pair.value("fisher")


@_interference("interference_fisher_diagonal", range=(0, inf), source="mergecast: Σ F_kk τⱼ,k²")
def fisher_diagonal(pair: PairReadings) -> float:
    """The same by the diagonal of the empirical Fisher matrix."""
    return pair.value("fisher_diagonal")


@_interference(
    "interference_first_order",
    range=(-inf, inf),
    source="mergecast: ⟨gᵢ, M(τⱼ, 0)⟩",
    per_method=True,
)
def first_order(pair: PairReadings, method: str) -> float:
    """First-order change of the model's loss by what the method leaves of the partner."""
    return pair.value("first_order", method)


@_interference(
    "interference_displacement",
    range=(0, inf),
    source=(
        "mergecast: √ of the Kronecker-factored cost of M(τᵢ,0) + M(τⱼ,0) − τᵢ at θᵢ; "
        "Martens and Grosse 2015, 'K-FAC', arXiv 1503.05671"
    ),
    per_method=True,
)
def displacement(pair: PairReadings, method: str) -> float:
    """Second-order cost of where the merge puts the model; needs no labels."""
    return sqrt(max(0.0, pair.value("displacement", method)))
