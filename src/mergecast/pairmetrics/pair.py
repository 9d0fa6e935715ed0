"""`WeightPair`: the fingerprints of two models, as a metric of the weights tier sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mergecast.checkpoints.checkpoint import Array
from mergecast.errors import UndefinedError
from mergecast.fingerprints.weights import MatrixOverlaps, WeightFingerprints

#: Norms below this count as no change of a parameter (the published code's threshold).
NEGLIGIBLE = 1e-10


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
    def norms(self) -> tuple[float, float]:
        """Norms of the two task vectors; raises UndefinedError if one is zero."""
        first, second = np.sqrt(np.diagonal(self.gram))
        for label, norm in zip(self.labels, (first, second), strict=True):
            if norm < NEGLIGIBLE:
                raise UndefinedError(f"model {label!r}", "equals its base (zero task vector)")
        return float(first), float(second)

    @cached_property
    def dot(self) -> float:
        """⟨τᵢ, τⱼ⟩."""
        return float(self.gram[0, 1])

    @cached_property
    def cosine(self) -> float:
        """Cosine of the two task vectors, within [-1, 1]."""
        value = self.dot / (self.norms[0] * self.norms[1])
        # Cauchy–Schwarz holds up to the rounding of float64 sums, which is removed here.
        return min(1.0, max(-1.0, value))

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


def pairs(fingerprints: WeightFingerprints) -> Iterator[WeightPair]:
    """Every unordered pair of usable models once, labels and pairs in sorted order."""
    members = fingerprints.members
    usable = [i for i, label in enumerate(members) if label not in fingerprints.refused]
    order = sorted(usable, key=lambda i: members[i])
    gram = fingerprints.gram
    for a, i in enumerate(order):
        for j in order[a + 1 :]:
            yield WeightPair(fingerprints, i, j, gram[np.ix_((i, j), (i, j))])
