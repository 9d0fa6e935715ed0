"""Interference through a model's inputs, directed i ← j: what the partner's update moves in it.

This is what retention does not know (`interference_crosstalk`, and `interference_input_energy` of
the weights); see ``benchmarks/tiers.py`` for what each metric adds to a forecast.
"""

from __future__ import annotations

from functools import partial
from math import inf, log, sqrt

from mergecast.errors import UndefinedError
from mergecast.evidence.kind import EVIDENCE, EvidenceKind
from mergecast.evidence.metric import metric
from mergecast.evidence.readings import PairReadings

EVIDENCE.add("inputs", EvidenceKind("inputs", "activations", "mergecast.evidence.inputs.collect"))
_interference = partial(
    metric,
    family="interference",
    tier="activations",
    symmetric=False,
    sets=("interference",),
    evidence="inputs",
)


def _ratio(part: float, whole: float, what: str) -> float:
    if not whole > 0:
        raise UndefinedError("pair", f"{what} is {whole:.3g}")
    return part / whole


@_interference(
    "interference_crosstalk",
    range=(-inf, inf),
    source="mergecast: ½ log Σ‖δⱼCᵢ^½‖² / Σ‖δᵢCᵢ^½‖² over layers",
)
def crosstalk(pair: PairReadings) -> float:
    """How loud the partner's update is on the model's inputs, beside its own update, in nats.

    Cᵢ: second moment of a layer's inputs on task i. The mean over both directions is a purely
    mutual quantity: norms cancel, and what is left is how far two tasks use the same inputs.
    """
    shift = _ratio(pair.value("moved"), pair.own("moved"), "own shift")
    if shift <= 0:
        raise UndefinedError("pair", "the partner's update moves nothing on the model's inputs")
    return 0.5 * log(shift)


@_interference(
    "interference_alignment",
    range=(-inf, inf),
    source="mergecast: ½ log Σ‖δⱼCᵢ^½‖² / Σ‖δⱼ‖² over layers",
)
def alignment(pair: PairReadings) -> float:
    """How strongly the model's inputs excite a partner's update of unit norm, log."""
    moved = _ratio(pair.value("moved"), pair.value("matrix_norm2"), "partner's norm")
    if moved <= 0:
        raise UndefinedError("pair", "the partner's update moves nothing on the model's inputs")
    return 0.5 * log(moved)


@_interference(
    "interference_shift",
    range=(0, inf),
    source="mergecast: √(Σ‖δⱼCᵢ^½‖² / Σ‖WC^½‖²) over layers",
)
def shift(pair: PairReadings) -> float:
    """How far the partner's update moves the layers' outputs, relative to the outputs."""
    return sqrt(_ratio(pair.value("moved"), pair.value("output"), "energy of the outputs"))


@_interference(
    "interference_activation_cosine",
    range=(-1, 1),
    source="mergecast: cosine of δᵢCᵢ^½ and δⱼCᵢ^½",
)
def activation_cosine(pair: PairReadings) -> float:
    """Whether the partner's update moves the layers' outputs as the model's own does."""
    size = sqrt(max(0.0, pair.own("moved") * pair.value("moved")))
    return min(1.0, max(-1.0, _ratio(pair.value("along"), size, "shift of the outputs")))


@_interference(
    "interference_input_similarity",
    range=(0, 1),
    source="mergecast: mean cosine of Cᵢ and Cⱼ",
    symmetric=True,
)
def input_similarity(pair: PairReadings) -> float:
    """How alike the second moments of two tasks' layer inputs are."""
    return _ratio(pair.value("input_similarity"), pair.value("layers"), "number of layers")
