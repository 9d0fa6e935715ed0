"""Singular value decompositions that several merges of one model share.

What a method does to a model alone is asked of several methods, stand-ins and draws, and each
would decompose the same task matrices again. Within `remembered`, a matrix that was announced is
decomposed once. LAPACK gives the same result for the same matrix, so that no number changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mergecast.typing import Array

if TYPE_CHECKING:
    from torch import Tensor

#: Bytes of decompositions kept; matrices beyond it are decomposed whenever they are met.
BUDGET = 1 << 30
Triplets = tuple["Tensor", "Tensor", "Tensor"]
_current: ContextVar[Decompositions | None] = ContextVar("decompositions", default=None)


@dataclass
class Decompositions:
    """Thin SVDs by the content of their matrix."""

    _known: dict[bytes, Triplets] = field(default_factory=dict)
    _expected: set[bytes] = field(default_factory=set)
    _held: int = 0

    def expect(self, matrix: Array) -> None:
        """Announce a matrix that several merges will decompose."""
        if matrix.ndim == 2:
            self._expected.add(_key(matrix))

    def svd(self, matrix: Tensor) -> Triplets:
        """``torch.linalg.svd(matrix, full_matrices=False)``, from what is known if possible."""
        key = _key(matrix.cpu().numpy())
        if key in self._known:
            return self._known[key]
        triplets = plain_svd(matrix)
        size = sum(part.numel() * part.element_size() for part in triplets)
        if key in self._expected and self._held + size <= BUDGET:
            self._known[key] = triplets
            self._held += size
        return triplets


@contextmanager
def remembered(decompositions: Decompositions) -> Iterator[Decompositions]:
    """Merging methods of this thread take decompositions from here while the context lasts."""
    token = _current.set(decompositions)
    try:
        yield decompositions
    finally:
        _current.reset(token)


def current() -> Decompositions | None:
    """What `remembered` has set."""
    return _current.get()


def svd(matrix: Tensor) -> Triplets:
    """Thin SVD: u (m, r), s (r,) descending, vh (r, n)."""
    decompositions = _current.get()
    return plain_svd(matrix) if decompositions is None else decompositions.svd(matrix)


def plain_svd(matrix: Tensor) -> Triplets:
    """Thin SVD by LAPACK's divide and conquer; where that does not converge, as it does not on
    some matrices with many equal singular values, in float64, then by QR iteration.
    """
    import scipy.linalg
    import torch

    if (found := _divided(matrix)) is not None:
        return found
    doubles = matrix.detach().cpu().double()
    if (found := _divided(doubles)) is None:
        parts = scipy.linalg.svd(doubles.numpy(), full_matrices=False, lapack_driver="gesvd")
        u, s, vh = map(torch.from_numpy, parts)
        found = (u, s, vh)
    u, s, vh = (part.to(matrix.device, matrix.dtype) for part in found)
    return u, s, vh


def _divided(matrix: Tensor) -> Triplets | None:
    """Thin SVD by divide and conquer, None where it does not converge: it says so, or has NaN."""
    import torch

    not_converged: type[Exception] = torch.linalg.LinAlgError  # type: ignore[attr-defined]
    try:
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    except not_converged:
        return None
    return (u, s, vh) if all(bool(part.sum().isfinite()) for part in (u, s, vh)) else None


def _key(matrix: Array) -> bytes:
    head = f"{matrix.dtype}{matrix.shape}".encode()
    digest = hashlib.sha256(head)
    digest.update(np.ascontiguousarray(matrix).data)
    return digest.digest()
