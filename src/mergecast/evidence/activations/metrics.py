"""Likeness of two models' mean activations on one shared calibration set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from mergecast.errors import UndefinedError
from mergecast.evidence.kind import EVIDENCE, EvidenceKind, Request, Work, float32_bytes
from mergecast.evidence.metric import metric
from mergecast.evidence.vectors import VectorPair

if TYPE_CHECKING:
    from mergecast.evidence.activations.fingerprints import ActivationFingerprints

_paper = partial(
    metric,
    family="activation",
    tier="activations",
    symmetric=True,
    source="arXiv 2601.22285, activation similarity",
    sets=("paper",),
)


@dataclass(frozen=True)
class ActivationPair:
    """Two models' mean activations, in order."""

    vectors: VectorPair

    @property
    def labels(self) -> tuple[str, str]:
        """Labels of the two models."""
        return self.vectors.labels

    def swapped(self) -> ActivationPair:
        """The same two models, the other one first."""
        return ActivationPair(self.vectors.swapped())


@dataclass(frozen=True)
class ActivationEvidence:
    """The activations of a family."""

    fingerprints: ActivationFingerprints

    def pair(self, left: str, right: str) -> ActivationPair:
        """Two models in order; raises UndefinedError where one has no finite activation."""
        for label in (left, right):
            if label in self.fingerprints.undefined:
                raise UndefinedError("", self.fingerprints.undefined[label])
        rows = [self.fingerprints.members.index(label) for label in (left, right)]
        vectors = self.fingerprints.vectors[rows]
        return ActivationPair(VectorPair((left, right), vectors @ vectors.T, "is zero everywhere"))


def _collect(request: Request) -> ActivationEvidence:
    from mergecast.evidence.activations.fingerprints import collect_activations

    advance = request.progress.stage("activations", request.family.size)
    return ActivationEvidence(collect_activations(request.probed, advance))


def _work(request: Request) -> Work:
    n = request.family.size
    return Work(
        forward_passes=n,
        forward_samples=n * n * request.settings.calibration,
        loads=n,
        memory=float32_bytes(request),
    )


EVIDENCE.add("activations", EvidenceKind("activations", "activations", _collect, _work))


@_paper("activation_l2_distance", range=(0, inf))
def activation_l2_distance(pair: ActivationPair) -> float:
    """‖aᵢ - aⱼ‖."""
    return pair.vectors.distance


@_paper("activation_cosine_similarity", range=(-1, 1))
def activation_cosine_similarity(pair: ActivationPair) -> float:
    """⟨aᵢ, aⱼ⟩ / (‖aᵢ‖ ‖aⱼ‖)."""
    return pair.vectors.cosine


@_paper("activation_magnitude_ratio", range=(0, 1))
def activation_magnitude_ratio(pair: ActivationPair) -> float:
    """The smaller of the two norms over the larger."""
    return pair.vectors.magnitude_ratio


@_paper("activation_dot_product", range=(-inf, inf))
def activation_dot_product(pair: ActivationPair) -> float:
    """⟨aᵢ, aⱼ⟩."""
    return pair.vectors.dot
