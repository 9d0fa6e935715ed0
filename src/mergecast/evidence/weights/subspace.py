"""Overlap of the singular subspaces of two task matrices, averaged over matrices."""

from functools import partial
from math import nan, sqrt

from mergecast.evidence.metric import metric
from mergecast.evidence.weights.fingerprints import MatrixOverlaps, WeightPair

_paper = partial(
    metric,
    family="subspace",
    tier="weights",
    symmetric=True,
    source="arXiv 2601.22285, subspace overlap",
    sets=("paper",),
)


def _energy(matrix: MatrixOverlaps, side: str, i: int, j: int) -> float:
    """‖A_i A_jᵀ‖²_F / k of two orthonormal k-frames: their mean squared cosine."""
    count = int(matrix.counts[side][i, j])
    return float(matrix.squares[side][i, j]) / count if count else nan


@_paper("subspace_overlap", range=(0, 1))
def subspace_overlap(pair: WeightPair) -> float:
    """‖U_i[:, :k]ᵀ U_j[:, :k]‖_F / k, left singular vectors (over k, as published, not √k)."""

    def value(matrix: MatrixOverlaps, i: int, j: int) -> float:
        count = int(matrix.counts["left"][i, j])
        return sqrt(matrix.squares["left"][i, j]) / count if count else nan

    return pair.mean_over_matrices(value)


@_paper("right_subspace_overlap_top_k", range=(0, 1))
def right_subspace_overlap_top_k(pair: WeightPair) -> float:
    """‖V_i[:k] V_j[:k]ᵀ‖_F / √k, strongest right singular vectors."""
    return pair.mean_over_matrices(lambda m, i, j: sqrt(_energy(m, "right", i, j)))


@_paper("right_subspace_overlap_bottom_k", range=(0, 1))
def right_subspace_overlap_bottom_k(pair: WeightPair) -> float:
    """The same on the weakest k directions, where they are defined."""
    return pair.mean_over_matrices(lambda m, i, j: sqrt(_energy(m, "weak", i, j)))


@_paper("interaction_matrix_overlap_top_k", range=(0, 1))
def interaction_matrix_overlap_top_k(pair: WeightPair) -> float:
    """Mean squared singular value of V_i[:k] V_j[:k]ᵀ."""
    return pair.mean_over_matrices(lambda m, i, j: _energy(m, "right", i, j))


@_paper("interaction_matrix_overlap_bottom_k", range=(0, 1))
def interaction_matrix_overlap_bottom_k(pair: WeightPair) -> float:
    """Mean squared singular value of the weakest directions' product."""
    return pair.mean_over_matrices(lambda m, i, j: _energy(m, "weak", i, j))


@_paper("singular_value_overlap", range=(0, 1))
def singular_value_overlap(pair: WeightPair) -> float:
    """Cosine of the two lists of singular values, each over its own sum."""
    return pair.mean_over_matrices(lambda m, i, j: float(m.profile[i, j]))
