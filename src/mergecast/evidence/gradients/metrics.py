"""Likeness of two models' loss gradients, each on its own task's calibration samples.

The published code sums batch means and draws the second task's samples with a generator that the
first has advanced, so that a model's gradient differs from pair to pair. Here it is one mean over
samples that does not depend on the partner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.evidence.kind import EVIDENCE, EvidenceKind
from mergecast.evidence.metric import metric
from mergecast.evidence.vectors import VectorPair, raise_missing
from mergecast.typing import Array

EVIDENCE.add(
    "gradients", EvidenceKind("gradients", "gradients", "mergecast.evidence.gradients.collect")
)
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
    """Two models' gradients, in order.

    Attributes
    ----------
    encoder : VectorPair
        By the shared parameters.
    inputs : VectorPair
        By the inputs.
    """

    encoder: VectorPair
    inputs: VectorPair

    @property
    def comparable_inputs(self) -> VectorPair:
        """The input gradients; raises UndefinedError where the two inputs have no common shape."""
        if np.isnan(self.inputs.gram[0, 1]):
            raise UndefinedError(
                f"inputs of {' and '.join(self.inputs.labels)}", "differ in more than length"
            )
        return self.inputs


@dataclass(frozen=True)
class Gradients:
    """The gradients of a family.

    Attributes
    ----------
    members : tuple of str
        Labels of the N models that have one.
    gram : (N, N) array
        Dot products of the shared parameters' mean gradients, float64.
    input_gram : (N, N) array
        Dot products of the per-sample input gradients, in sample order, shorter inputs padded
        with zeros; NaN between inputs of different kinds.
    missing : mapping of str to str
        Label of every other model to the reason why it has none.
    """

    members: tuple[str, ...]
    gram: Array
    input_gram: Array
    missing: Mapping[str, str] = field(default_factory=dict)

    def pair(self, first: str, second: str) -> GradientPair:
        """Two models in order; raises UndefinedError where one has no finite gradient."""
        raise_missing(self.missing, first, second)
        rows = [self.members.index(label) for label in (first, second)]
        encoder, inputs = (
            VectorPair((first, second), gram[np.ix_(rows, rows)], "has a zero gradient")
            for gram in (self.gram, self.input_gram)
        )
        return GradientPair(encoder, inputs)


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
