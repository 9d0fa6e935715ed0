"""The weights of two models: whether a partner's update reads, writes and points as a model's.

The weights tier needs no model to run: it is collected from the block stream.
"""

from __future__ import annotations

from functools import partial

from mergecast.errors import UndefinedError
from mergecast.evidence.kind import EVIDENCE, WEIGHTS, EvidenceKind
from mergecast.evidence.metric import metric
from mergecast.evidence.weights.fingerprints import WeightPair

_interference = partial(
    metric, family="interference", tier="weights", symmetric=False, sets=("interference",)
)

EVIDENCE.add(WEIGHTS, EvidenceKind(WEIGHTS, "weights", "mergecast.evidence.weights.collect"))


@_interference(
    "interference_input_energy",
    range=(0, 1),
    source="mergecast: mean over matrices of ‖δⱼVᵢ‖² / ‖δⱼ‖², top 10",
)
def input_energy(pair: WeightPair) -> float:
    """Share of the partner's energy that reads the inputs which the model's own update reads."""
    return pair.mean_over_matrices(lambda m, i, j: float(m.energies["right"][i, j]))


@_interference(
    "interference_output_energy",
    range=(0, 1),
    source="mergecast: mean over matrices of ‖Uᵢᵀδⱼ‖² / ‖δⱼ‖², top 10",
)
def output_energy(pair: WeightPair) -> float:
    """Share of the partner's energy that writes where the model's own update writes."""
    return pair.mean_over_matrices(lambda m, i, j: float(m.energies["left"][i, j]))


@_interference(
    "interference_sign_conflict",
    range=(0, 1),
    source="mergecast: after trimming to the largest 20 % per tensor",
)
def sign_conflict(pair: WeightPair) -> float:
    """Share of the mass of τᵢ's largest entries that τⱼ's contradict."""
    _ = pair.norms
    conflict = pair.fingerprints.conflict
    if conflict is None:
        raise UndefinedError("sign conflict", "was not collected")
    return float(conflict.against[pair.i, pair.j] / conflict.mass[pair.i])
