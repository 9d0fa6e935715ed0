"""Evidence that is read by label: what is known of an ordered pair, in a family's fingerprints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LabelledPair:
    """The model affected and its partner.

    Attributes
    ----------
    labels : the model affected, and its partner.
    fingerprints : of the whole family, read by label.
    """

    labels: tuple[str, str]
    fingerprints: Any

    def swapped(self) -> LabelledPair:
        """The effect the other way round."""
        return LabelledPair(self.labels[::-1], self.fingerprints)


@dataclass(frozen=True)
class LabelledEvidence:
    """One kind of a family's fingerprints that are read by label."""

    fingerprints: Any

    def pair(self, left: str, right: str) -> LabelledPair:
        """Two models in order."""
        return LabelledPair((left, right), self.fingerprints)
