"""Likeness of two models' mean activations on one shared calibration set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf

import numpy as np

from mergecast.evidence.kind import EVIDENCE, EvidenceKind
from mergecast.evidence.metric import metric
from mergecast.evidence.vectors import VectorPair, raise_missing
from mergecast.typing import Array

EVIDENCE.add(
    "activations",
    EvidenceKind("activations", "activations", "mergecast.evidence.activations.collect"),
)
_paper = partial(
    metric,
    family="activation",
    tier="activations",
    symmetric=True,
    source="arXiv 2601.22285, activation similarity",
    sets=("paper",),
)


@dataclass(frozen=True)
class Activations:
    """The mean activations of a family.

    Attributes
    ----------
    vectors : mapping of str to (d,) array
        Model label to its mean over samples and tokens, float64.
    layers : mapping of str to str
        The block of each model that was read.
    missing : mapping of str to str
        Model label to the reason why it has none.
    """

    vectors: Mapping[str, Array]
    layers: Mapping[str, str]
    missing: Mapping[str, str] = field(default_factory=dict)

    def pair(self, first: str, second: str) -> VectorPair:
        """Two models in order; raises UndefinedError where one has no finite activation."""
        raise_missing(self.missing, first, second)
        rows = np.stack([self.vectors[label] for label in (first, second)])
        return VectorPair((first, second), rows @ rows.T, "is zero everywhere")


@_paper("activation_l2_distance", range=(0, inf))
def activation_l2_distance(pair: VectorPair) -> float:
    """‖aᵢ - aⱼ‖."""
    return pair.distance


@_paper("activation_cosine_similarity", range=(-1, 1))
def activation_cosine_similarity(pair: VectorPair) -> float:
    """⟨aᵢ, aⱼ⟩ / (‖aᵢ‖ ‖aⱼ‖)."""
    return pair.cosine


@_paper("activation_magnitude_ratio", range=(0, 1))
def activation_magnitude_ratio(pair: VectorPair) -> float:
    """The smaller of the two norms over the larger."""
    return pair.magnitude_ratio


@_paper("activation_dot_product", range=(-inf, inf))
def activation_dot_product(pair: VectorPair) -> float:
    """⟨aᵢ, aⱼ⟩."""
    return pair.dot
