"""Likeness of two models' loss gradients, each on its own task's calibration samples.

The published code sums batch means and draws the second task's samples with a generator that the
first has advanced, so that a model's gradient differs from pair to pair. Here it is one mean over
samples that does not depend on the partner.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.evidence.kind import EVIDENCE, EvidenceKind, Request, Work, float32_bytes
from mergecast.evidence.metric import metric
from mergecast.evidence.vectors import VectorPair

if TYPE_CHECKING:
    from mergecast.evidence.gradients.fingerprints import GradientFingerprints

_paper = partial(
    metric,
    family="gradient",
    tier="gradients",
    symmetric=True,
    source="arXiv 2601.22285, gradient alignment",
    sets=("paper",),
)


@dataclass(frozen=True)
class GradientPair:
    """Two models' gradients, in order: by shared parameters, and by inputs."""

    encoder: VectorPair
    inputs: VectorPair

    @property
    def labels(self) -> tuple[str, str]:
        """Labels of the two models."""
        return self.encoder.labels

    @property
    def comparable_inputs(self) -> VectorPair:
        """The input gradients; raises UndefinedError where the two inputs have no common shape."""
        if np.isnan(self.inputs.gram[0, 1]):
            raise UndefinedError(
                f"inputs of {self.labels[0]} and {self.labels[1]}", "differ in more than length"
            )
        return self.inputs

    def swapped(self) -> GradientPair:
        """The same two models, the other one first."""
        return GradientPair(self.encoder.swapped(), self.inputs.swapped())


@dataclass(frozen=True)
class GradientEvidence:
    """The gradients of a family."""

    fingerprints: GradientFingerprints

    def pair(self, left: str, right: str) -> GradientPair:
        """Two models in order; raises UndefinedError where one has no finite gradient."""
        for label in (left, right):
            if label in self.fingerprints.undefined:
                raise UndefinedError("", self.fingerprints.undefined[label])
        rows = [self.fingerprints.members.index(label) for label in (left, right)]
        encoder, inputs = (
            VectorPair((left, right), gram[np.ix_(rows, rows)], "has a zero gradient")
            for gram in (self.fingerprints.gram, self.fingerprints.input_gram)
        )
        return GradientPair(encoder, inputs)


def _collect(request: Request) -> GradientEvidence:
    from mergecast.evidence.gradients.fingerprints import collect_gradients

    advance = request.progress.stage("gradients", request.family.size)
    return GradientEvidence(collect_gradients(request.probed, advance))


def _work(request: Request) -> Work:
    n = request.family.size
    one = float32_bytes(request)
    return Work(
        forward_passes=n,
        backward_passes=n,
        backward_samples=n * request.settings.calibration,
        loads=n,
        kept=n * one,
        memory=2 * one,  # weights and their gradient
    )


EVIDENCE.add("gradients", EvidenceKind("gradients", "gradients", _collect, _work))


@_paper("encoder_gradient_cosine_similarity", range=(-1, 1))
def encoder_gradient_cosine_similarity(pair: GradientPair) -> float:
    """⟨gᵢ, gⱼ⟩ / (‖gᵢ‖ ‖gⱼ‖)."""
    return pair.encoder.cosine


@_paper("encoder_gradient_l2_distance", range=(0, inf))
def encoder_gradient_l2_distance(pair: GradientPair) -> float:
    """‖gᵢ - gⱼ‖."""
    return pair.encoder.distance


@_paper("encoder_gradient_dot_product", range=(-inf, inf))
def encoder_gradient_dot_product(pair: GradientPair) -> float:
    """⟨gᵢ, gⱼ⟩."""
    return pair.encoder.dot


@_paper("input_gradient_cosine_similarity", range=(-1, 1))
def input_gradient_cosine_similarity(pair: GradientPair) -> float:
    """⟨xᵢ, xⱼ⟩ / (‖xᵢ‖ ‖xⱼ‖)."""
    return pair.comparable_inputs.cosine


@_paper("input_gradient_l2_distance", range=(0, inf))
def input_gradient_l2_distance(pair: GradientPair) -> float:
    """‖xᵢ - xⱼ‖."""
    return pair.comparable_inputs.distance


@_paper("input_gradient_dot_product", range=(-inf, inf))
def input_gradient_dot_product(pair: GradientPair) -> float:
    """⟨xᵢ, xⱼ⟩."""
    return pair.comparable_inputs.dot
