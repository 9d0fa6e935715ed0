"""Singular value decompositions that several merges of one model share.

What a method does to a model alone is asked of several methods, stand-ins and draws, and each
would decompose the same task matrices again. Within `remembered`, a matrix that was announced is
decomposed once; that of a copy with shuffled columns follows from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np
import torch

from mergecast.checkpoints.checkpoint import Array

#: Bytes of decompositions kept; matrices beyond it are decomposed whenever they are met.
BUDGET = 1 << 30
Triplets = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
_current: ContextVar[Decompositions | None] = ContextVar("decompositions", default=None)


@dataclass
class Decompositions:
    """Thin SVDs by the content of their matrix."""

    _found: dict[bytes, Triplets] = field(default_factory=dict)
    _expected: set[bytes] = field(default_factory=set)
    _shuffled: dict[bytes, tuple[bytes, Array, Array]] = field(default_factory=dict)
    _held: int = 0

    def expect(self, matrix: Array) -> None:
        """Announce a matrix that several merges will decompose."""
        if matrix.ndim == 2:
            self._expected.add(_key(matrix))

    def expect_shuffled(self, shuffled: Array, matrix: Array, order: Array, signs: Array) -> None:
        """Announce ``matrix[:, order] * signs``; forgotten when the next one is announced."""
        if matrix.ndim == 2:
            self._shuffled = {_key(shuffled): (_key(matrix), order, signs)}

    def svd(self, matrix: torch.Tensor) -> Triplets:
        """``torch.linalg.svd(matrix, full_matrices=False)``, from what is known if possible."""
        key = _key(matrix.cpu().numpy())
        if key in self._found:
            return self._found[key]
        source = self._shuffled.get(key)
        if source is not None and source[0] in self._found:
            u, s, vh = self._found[source[0]]
            order, signs = (torch.from_numpy(part).to(vh.device) for part in source[1:])
            return u, s, vh[:, order] * signs.to(vh.dtype)
        found = _svd(matrix)
        size = sum(part.numel() * part.element_size() for part in found)
        if key in self._expected and self._held + size <= BUDGET:
            self._found[key] = found
            self._held += size
        return found


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


def svd(matrix: torch.Tensor) -> Triplets:
    """Thin SVD: u (m, r), s (r,) descending, vh (r, n)."""
    known = _current.get()
    return _svd(matrix) if known is None else known.svd(matrix)


def _svd(matrix: torch.Tensor) -> Triplets:
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    return u, s, vh


def _key(matrix: Array) -> bytes:
    head = f"{matrix.dtype}{matrix.shape}".encode()
    found = hashlib.sha256(head)
    found.update(np.ascontiguousarray(matrix).data)
    return found.digest()
