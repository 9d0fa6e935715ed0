"""`WeightPair`: two models' fingerprints, as a metric of the weights tier sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mergecast.checkpoints.checkpoint import Array
from mergecast.errors import UndefinedError
from mergecast.evidence.vectors import NEGLIGIBLE, VectorPair
from mergecast.evidence.weights.fingerprints import MatrixOverlaps, WeightFingerprints


@dataclass(frozen=True)
class WeightPair:
    """Two models of a family, in order.

    Attributes
    ----------
    fingerprints : of the whole family.
    i, j : positions of the two models in ``fingerprints.members``.
    gram : 2 × 2 Gram matrix of the two task vectors.
    """

    fingerprints: WeightFingerprints
    i: int
    j: int
    gram: Array

    @property
    def labels(self) -> tuple[str, str]:
        """Labels of the two models."""
        return self.fingerprints.members[self.i], self.fingerprints.members[self.j]

    @cached_property
    def vectors(self) -> VectorPair:
        """The two task vectors."""
        return VectorPair(self.labels, self.gram, "equals its base (zero task vector)")

    @property
    def norms(self) -> tuple[float, float]:
        """Norms of the two task vectors; raises UndefinedError if one is zero."""
        return self.vectors.norms

    @property
    def dot(self) -> float:
        """⟨τᵢ, τⱼ⟩."""
        return self.vectors.dot

    @property
    def cosine(self) -> float:
        """Cosine of the two task vectors, within [-1, 1]."""
        return self.vectors.cosine

    def swapped(self) -> WeightPair:
        """The same two models, the other one first."""
        return WeightPair(self.fingerprints, self.j, self.i, self.gram[::-1, ::-1])

    def parameter_grams(self) -> Iterator[Array]:
        """2 × 2 Gram matrices of every shared parameter that both models changed."""
        at = np.ix_((self.i, self.j), (self.i, self.j))
        for gram in self.fingerprints.grams.values():
            pair = gram[at]
            if np.sqrt(np.diagonal(pair)).min() >= NEGLIGIBLE:
                yield pair

    def mean_over_matrices(self, value: Callable[[MatrixOverlaps, int, int], float]) -> float:
        """Mean of a per-matrix value over the matrices where it is defined (not NaN).

        Raises
        ------
        UndefinedError
            It is defined on no matrix; the reasons are counted.
        """
        matrices = self.fingerprints.matrices
        if not matrices:
            raise UndefinedError("family", "has no two-dimensional parameter")
        values = np.array([value(matrix, self.i, self.j) for matrix in matrices])
        defined = values[~np.isnan(values)]
        if defined.size == 0:
            raise UndefinedError("matrices", self._why_none())
        return float(defined.mean())

    def _why_none(self) -> str:
        reasons = [
            f"{label}: {matrix.undefined[label]}"
            for matrix in self.fingerprints.matrices
            for label in self.labels
            if label in matrix.undefined
        ]
        first = f", first {reasons[0]}" if reasons else ""
        return f"undefined on all {len(self.fingerprints.matrices)} matrices{first}"


@dataclass(frozen=True)
class WeightEvidence:
    """The weights tier of a family."""

    fingerprints: WeightFingerprints

    @cached_property
    def _gram(self) -> Array:
        return self.fingerprints.gram

    def pair(self, left: str, right: str) -> WeightPair:
        """Two models, in order."""
        i, j = (self.fingerprints.members.index(label) for label in (left, right))
        return WeightPair(self.fingerprints, i, j, self._gram[np.ix_((i, j), (i, j))])
