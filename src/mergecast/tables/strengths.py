"""What is known of a method's strengths in a family: members alone, and a few merges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mergecast.typing import Array

if TYPE_CHECKING:
    from scipy.interpolate import PchipInterpolator


@dataclass(frozen=True)
class Alone:
    """What a member keeps alone over the strength of its task vector.

    Attributes
    ----------
    strengths, kept : (n,) array
        Strengths from 0 up, and what is kept at each.
    floor : float
        What is kept where nothing is left of the model: chance.
    """

    strengths: Array
    kept: Array
    floor: float

    @property
    def strongest(self) -> float:
        """The strongest that was measured."""
        return float(self.strengths[-1])

    @cached_property
    def _curve(self) -> PchipInterpolator:
        from scipy.interpolate import PchipInterpolator

        return PchipInterpolator(self.strengths, self.kept)

    def at(self, strength: Array | float) -> Array:
        """What is kept at a strength, as at the strongest where it is beyond."""
        kept: Array = self._curve(np.clip(strength, 0, self.strongest))
        return kept


@dataclass(frozen=True)
class Kept:
    """What one member kept in a merge that was made.

    Attributes
    ----------
    member : str
        Label.
    weights : mapping of str to float
        Every model merged to what multiplied its strength.
    strength : float
        Of the merge.
    kept : float
        What the member kept.
    """

    member: str
    weights: Mapping[str, float]
    strength: float
    kept: float


@dataclass(frozen=True)
class StrengthReadings:
    """All that curves of one method are fitted to.

    Attributes
    ----------
    method : str
        The method.
    way : str
        How what is kept was asked, in a word or two.
    alone : mapping of str to Alone
        Every member.
    products : mapping of str to mapping of (str, str) to float
        Member to the inner products of the others' shifts on its samples, over the square of its
        own shift; both orders of a pair are there.
    merges : tuple of Kept
        Members in merges that were made.
    unjudged : mapping of str to str
        Label of every model that was left out, since nobody can say what is kept of its answers,
        to the reason.
    """

    method: str
    way: str
    alone: Mapping[str, Alone]
    products: Mapping[str, Mapping[tuple[str, str], float]]
    merges: tuple[Kept, ...]
    unjudged: Mapping[str, str] = field(default_factory=dict)

    def load(self, member: str, weights: Mapping[str, float]) -> float:
        """Squared size of what the others do together to a member, over its own, at strength 1."""
        products, others = self.products[member], [one for one in weights if one != member]
        total = sum(weights[a] * weights[b] * products[a, b] for a in others for b in others)
        return max(float(total), 0.0)
