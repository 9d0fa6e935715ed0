"""Singular values of a task matrix and its strongest and weakest singular directions.

The eigenvalues of the smaller Gram matrix, in float64, are the squared singular values; only the
2k wanted eigenvectors are computed. That is several times cheaper than a full SVD in float32
and, down to σ ≈ 10⁻⁵ σ₁, at least as accurate: the relative error of σ² is about ε·(σ₁/σ)² with
ε = 2·10⁻¹⁶. Matrices whose wanted directions lie between that and the rank tolerance take a
full SVD in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.evidence.weights.tridiagonal import symmetric_ends
from mergecast.typing import Array

#: Singular values below this share of the largest are rounding of float32 weights.
RANK_TOLERANCE = 1e-6
#: Below this share of the largest singular value a Gram matrix is too coarse.
GRAM_LIMIT = 1e-5
#: Standard deviation of the rounding of one float32 operation, relative to its result.
_ROUNDING = 2.0**-24 / sqrt(3)
_ROWS = 8192


@dataclass(frozen=True)
class Spectrum:
    """One task matrix ``(m, n)``, r = min(m, n), reduced to what pairs compare.

    Attributes
    ----------
    values : ndarray
        All singular values, descending, shape (r,), float64.
    rank : int
        How many of them are above the tolerance.
    left : ndarray
        Strongest left singular vectors as rows, shape (min(k, rank), m).
    right : ndarray
        Strongest right singular vectors as rows, shape (min(k, rank), n).
    weak : ndarray or None
        Weakest right singular vectors of the thin SVD as rows, shape (min(k, r), n); None where
        they are not defined.
    weak_undefined : str
        Why `weak` is None; empty otherwise.
    """

    values: Array
    rank: int
    left: Array
    right: Array
    weak: Array | None
    weak_undefined: str


def rounding_floor(base_norm: float, shape: tuple[int, int]) -> float:
    """The spectral norm that rounding weights to float32 leaves in a difference of two models.

    Parameters
    ----------
    base_norm : float
        Frobenius norm of the base's matrix of `shape`.
    """
    m, n = shape
    return _ROUNDING * base_norm / sqrt(m * n) * (sqrt(m) + sqrt(n))


def spectrum(delta: Array, k: int = 10, floor: float = 0.0) -> Spectrum:
    """The `Spectrum` of one task matrix.

    Parameters
    ----------
    delta : ndarray of shape (m, n)
        Float32 or float64, finite.
    k : int
        Directions kept at each end.
    floor : float
        Singular values up to this size are noise (`rounding_floor`).

    Raises
    ------
    UndefinedError
        The matrix is zero.
    """
    if not delta.any():
        raise UndefinedError("task matrix", "is zero")
    tall = delta.shape[0] >= delta.shape[1]
    r = min(delta.shape)
    gram = small_gram(delta)
    eigenvalues, vectors = _ends(gram, min(k, r))
    values = np.sqrt(np.clip(eigenvalues, 0.0, None))
    tolerance = max(RANK_TOLERANCE * values[0], floor)
    rank = int((values > tolerance).sum())
    top = min(k, rank)
    weakest_wanted = values[-1] if rank == r else values[max(top, 1) - 1]
    if tolerance < weakest_wanted < GRAM_LIMIT * values[0]:
        return _by_svd(delta, k, tolerance)
    near = vectors[:top]
    far = _other_side(delta, near, values[:top], tall)
    left, right = (far, near) if tall else (near, far)
    undefined = _weak_undefined(values, min(k, r), tolerance, tall)
    weak = None
    if not undefined:
        weak = vectors[-min(k, r) :]
        if not tall:
            weak = _other_side(delta, weak, values[-min(k, r) :], tall)
    return Spectrum(values, rank, left, right, weak, undefined)


def small_gram(delta: Array) -> Array:
    """δᵀδ for tall matrices, δδᵀ for wide ones, in float64, a band of rows at a time if tall."""
    if delta.shape[0] < delta.shape[1]:
        wide = delta.astype(np.float64)
        product: Array = wide @ wide.T
        return product
    total = np.zeros((delta.shape[1], delta.shape[1]))
    for start in range(0, delta.shape[0], _ROWS):
        band = delta[start : start + _ROWS].astype(np.float64)
        total += band.T @ band
    return total


def _ends(gram: Array, k: int) -> tuple[Array, Array]:
    """All eigenvalues, descending, and as rows the eigenvectors of the first and last k."""
    if gram.shape[0] <= 4 * k:
        values, vectors = np.linalg.eigh(gram)
        return values[::-1], vectors[:, ::-1].T
    return symmetric_ends(gram, k)


def _other_side(delta: Array, vectors: Array, values: Array, tall: bool) -> Array:
    """Singular vectors of the other side: δv/σ for tall matrices, δᵀu/σ for wide ones.

    They are orthonormal only to ε(σ₁/σ)², which QR mends without leaving their span.
    """
    doubles = vectors.astype(np.float64) / values[:, None]
    if tall:
        bands = [
            doubles @ delta[start : start + _ROWS].astype(np.float64).T
            for start in range(0, delta.shape[0], _ROWS)
        ]
        product = np.concatenate(bands, axis=1)
    else:
        product = doubles @ delta.astype(np.float64)
    factor, triangle = np.linalg.qr(product.T)
    orthonormal: Array = (factor * np.sign(np.diagonal(triangle))).T
    return orthonormal


def _by_svd(delta: Array, k: int, tolerance: float) -> Spectrum:
    left, values, right = np.linalg.svd(delta.astype(np.float64), full_matrices=False)
    rank = int((values > tolerance).sum())
    top, bottom = min(k, rank), min(k, len(values))
    undefined = _weak_undefined(values, bottom, tolerance, delta.shape[0] >= delta.shape[1])
    weak = None if undefined else right[-bottom:]
    return Spectrum(values, rank, left[:, :top].T, right[:top], weak, undefined)


def _weak_undefined(values: Array, k: int, tolerance: float, tall: bool) -> str:
    """Why the span of the last k right singular vectors is arbitrary; empty if it is not."""
    if tall and k == len(values):
        return ""
    if not tall and values[-1] <= tolerance:
        return f"rank {int((values > tolerance).sum())} of {len(values)}"
    if k < len(values) and values[-k - 1] - values[-k] <= tolerance:
        return f"singular values {len(values) - k} and {len(values) - k + 1} coincide"
    return ""
