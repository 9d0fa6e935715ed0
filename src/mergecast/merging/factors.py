"""A merged delta as the product of two factors, as exactly as a rank allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mergecast.typing import Array, Floats

#: Singular values below this share of the largest are rounding, not rank.
TOLERANCE = 1e-6
#: Columns of a sketch beyond the rank that is looked for (Halko, Martinsson, Tropp 2011).
_OVERSAMPLED = 8
#: Steps of power iteration on what a sketch leaves.
_POWERS = 4


@dataclass(frozen=True)
class Factored:
    """A matrix and its nearest one of a rank.

    Attributes
    ----------
    left : array (out, r)
        Left singular vectors times the roots of the singular values, float64.
    right : array (r, in)
        The same of the right ones.
    energy : float
        Squared Frobenius norm of the matrix.
    """

    left: Floats
    right: Floats
    energy: float

    @property
    def rank(self) -> int:
        """The number r of columns of `left`."""
        return int(self.left.shape[1])


def factored(matrix: Array, limit: int) -> Factored:
    """The nearest matrix of rank `limit` or of the matrix's own rank, if that is lower.

    The rank is the number of singular values above `TOLERANCE` times the largest, in float64. A
    random sketch finds the whole range of a matrix of low rank; where something is left outside
    it, the leading eigenvectors of the smaller Gram matrix are taken, which need no sketch.

    Parameters
    ----------
    matrix : array (out, in)
        Finite values.
    limit : int
        The highest rank wanted, 1 or more.

    Returns
    -------
    Factored
        Of rank 1 with factors of zeros for a matrix of zeros.

    Examples
    --------
    >>> outer = np.outer([1.0, 2.0], [3.0, 0.0, 4.0])
    >>> found = factored(outer, 2)
    >>> found.rank, bool(np.allclose(found.left @ found.right, outer)), round(found.energy, 9)
    (1, True, 125.0)
    """
    doubles = np.asarray(matrix, dtype=np.float64)
    energy = float(np.square(doubles).sum())
    if not energy:
        return Factored(np.zeros((len(doubles), 1)), np.zeros((1, doubles.shape[1])), 0.0)
    if doubles.shape[0] > doubles.shape[1]:
        turned = factored(doubles.T, limit)
        return Factored(turned.right.T, turned.left.T, energy)
    width = min(limit, len(doubles))
    left, values, right = _within(doubles, _range(doubles, width))
    rank = min(width, int(np.count_nonzero(values > TOLERANCE * values[0])))
    roots = np.sqrt(values[:rank])
    return Factored(left[:, :rank] * roots, roots[:, None] * right[:rank], energy)


def _range(matrix: Floats, width: int) -> Floats:
    """Orthonormal columns that span the leading `width` left singular vectors, (out, ≥ width)."""
    import scipy.linalg

    sketched = width + _OVERSAMPLED
    if sketched < len(matrix):
        draws = np.random.default_rng(0).standard_normal((matrix.shape[1], sketched))
        basis: Floats = np.linalg.qr(matrix @ draws)[0]
        # Once more: the rounding of float32 would blur weak directions of a single product.
        basis = np.linalg.qr(matrix @ np.linalg.qr(matrix.T @ basis)[0])[0]
        seen = basis.T @ matrix
        if 2 * _norm(matrix - basis @ seen) <= TOLERANCE * np.linalg.norm(seen, 2):
            return basis
    last = len(matrix) - 1
    leading: Floats = scipy.linalg.eigh(
        matrix @ matrix.T, subset_by_index=(last + 1 - width, last)
    )[1]
    return leading


def _norm(matrix: Floats) -> float:
    """The spectral norm by a few steps of block power iteration, a little less than it is."""
    block = np.random.default_rng(1).standard_normal((matrix.shape[1], _OVERSAMPLED))
    for _ in range(_POWERS):
        block = np.linalg.qr(matrix.T @ (matrix @ block))[0]
    return float(np.linalg.norm(matrix @ block, 2))


def _within(matrix: Floats, basis: Floats) -> tuple[Floats, Floats, Floats]:
    """Thin SVD of the part of a matrix in the span of `basis`."""
    import scipy.linalg

    left, values, right = scipy.linalg.svd(basis.T @ matrix, full_matrices=False)
    return basis @ left, values, right
