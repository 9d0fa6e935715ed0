"""Likeness of two models' mean activations on one shared calibration set."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from mergecast.errors import UndefinedError
from mergecast.pairmetrics.evidence import EVIDENCE, EvidenceKind, Request, Work, float32_bytes
from mergecast.pairmetrics.spec import metric
from mergecast.pairmetrics.vectors import VectorPair

if TYPE_CHECKING:
    from mergecast.fingerprints.activations import ActivationFingerprints

_PAPER = "arXiv 2601.22285, activation similarity"


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
    from mergecast.fingerprints.activations import collect_activations

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


@metric(
    "activation_l2_distance",
    family="activation",
    tier="activations",
    symmetric=True,
    range=(0, inf),
    source=_PAPER,
    sets=("paper",),
)
def activation_l2_distance(pair: ActivationPair) -> float:
    """‖aᵢ - aⱼ‖."""
    return pair.vectors.distance


@metric(
    "activation_cosine_similarity",
    family="activation",
    tier="activations",
    symmetric=True,
    range=(-1, 1),
    source=_PAPER,
    sets=("paper",),
)
def activation_cosine_similarity(pair: ActivationPair) -> float:
    """⟨aᵢ, aⱼ⟩ / (‖aᵢ‖ ‖aⱼ‖)."""
    return pair.vectors.cosine


@metric(
    "activation_magnitude_ratio",
    family="activation",
    tier="activations",
    symmetric=True,
    range=(0, 1),
    source=_PAPER,
    sets=("paper",),
)
def activation_magnitude_ratio(pair: ActivationPair) -> float:
    """The smaller of the two norms over the larger."""
    return pair.vectors.magnitude_ratio


@metric(
    "activation_dot_product",
    family="activation",
    tier="activations",
    symmetric=True,
    range=(-inf, inf),
    source=_PAPER,
    sets=("paper",),
)
def activation_dot_product(pair: ActivationPair) -> float:
    """⟨aᵢ, aⱼ⟩."""
    return pair.vectors.dot
