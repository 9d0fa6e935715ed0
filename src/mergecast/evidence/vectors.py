"""Two vectors known by their 2 × 2 Gram matrix: what their geometry is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.typing import Array

#: Norms below this count as zero (the published code's threshold).
NEGLIGIBLE = 1e-10


@dataclass(frozen=True)
class VectorPair:
    """The vectors of two models, in order.

    Attributes
    ----------
    labels : tuple of str
        Of the two models.
    gram : (2, 2) array
        Gram matrix of the two vectors, float64.
    zero : str
        What it means that one of them is zero, for the reason of a missing value.
    """

    labels: tuple[str, str]
    gram: Array
    zero: str

    @cached_property
    def norms(self) -> tuple[float, float]:
        """The two norms; raises UndefinedError if one is zero."""
        first, second = np.sqrt(np.diagonal(self.gram))
        for label, norm in zip(self.labels, (first, second), strict=True):
            if norm < NEGLIGIBLE:
                raise UndefinedError(f"model {label!r}", self.zero)
        return float(first), float(second)

    @property
    def dot(self) -> float:
        """The dot product."""
        return float(self.gram[0, 1])

    @property
    def cosine(self) -> float:
        """The cosine, within [-1, 1]; raises UndefinedError for a zero vector."""
        value = self.dot / (self.norms[0] * self.norms[1])
        # Cauchy–Schwarz holds up to the rounding of float64 sums, which is removed here.
        return min(1.0, max(-1.0, value))

    @property
    def distance(self) -> float:
        """The Euclidean distance."""
        square = self.gram[0, 0] + self.gram[1, 1] - 2 * self.gram[0, 1]
        return sqrt(max(0.0, float(square)))

    @property
    def magnitude_ratio(self) -> float:
        """The smaller norm over the larger, in (0, 1]."""
        return min(self.norms) / max(self.norms)


def raise_missing(missing: Mapping[str, str], *labels: str) -> None:
    """Raise UndefinedError with the reason of the first of `labels` that has one."""
    for label in labels:
        if label in missing:
            raise UndefinedError("", missing[label])
