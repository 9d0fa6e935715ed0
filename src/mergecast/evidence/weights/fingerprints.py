"""Weight fingerprints of a family, and two of its models as metrics of weights see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.evidence.vectors import NEGLIGIBLE, VectorPair
from mergecast.typing import Array

if TYPE_CHECKING:
    from mergecast.evidence.weights.conflict import SignConflict


@dataclass(frozen=True)
class MatrixOverlaps:
    """One matrix parameter, all pairs of models.

    Attributes
    ----------
    name : str
        The parameter.
    squares : dict of str to (N, N) array
        ``left``, ``right`` and ``weak``: the squared Frobenius norm of the product of two models'
        orthonormal rows; NaN where undefined.
    counts : dict of str to (N, N) array
        The same keys: the number of directions compared.
    profile : (N, N) array
        Cosine of the two normalised lists of singular values.
    energies : dict of str to (N, N) array
        ``left`` and ``right``: share of model j's energy in model i's subspace; NaN where one is
        zero; empty unless asked for.
    undefined : dict of str to str
        Model label to reason, for zero matrices and undefined weak directions.
    """

    name: str
    squares: Mapping[str, Array]
    counts: Mapping[str, Array]
    profile: Array
    energies: Mapping[str, Array] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WeightFingerprints:
    """What the weight metrics of all pairs are computed from.

    Attributes
    ----------
    members : tuple of str
        Labels of the N models.
    grams : dict of str to (N, N) array
        Gram matrix of the deltas of every parameter, float64, in parameter order.
    matrices : tuple of MatrixOverlaps
        One a two-dimensional parameter, in parameter order.
    base_norm : float
        Norm of the base's shared parameters.
    conflict : SignConflict or None
        Where signs of the largest entries differ, if it was asked for.
    refused : dict of str to str
        Label to reason of models whose values are not finite.
    """

    members: tuple[str, ...]
    grams: Mapping[str, Array]
    matrices: tuple[MatrixOverlaps, ...]
    base_norm: float
    conflict: SignConflict | None = None
    refused: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def gram(self) -> Array:
        """Gram matrix (N, N) of the whole task vectors."""
        total: Array = np.sum(list(self.grams.values()), axis=0)
        return total

    def pair(self, first: str, second: str) -> WeightPair:
        """Two models, in order."""
        i, j = (self.members.index(label) for label in (first, second))
        gram = self.gram[np.ix_((i, j), (i, j))]
        return WeightPair((first, second), gram, "equals its base (zero task vector)", self, i, j)


@dataclass(frozen=True)
class WeightPair(VectorPair):
    """Two models of a family, in order: their task vectors, and what is known by parameter.

    Attributes
    ----------
    fingerprints : WeightFingerprints
        Of the whole family.
    i, j : int
        Positions of the two models in ``fingerprints.members``.
    """

    fingerprints: WeightFingerprints
    i: int
    j: int

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
