"""Merges that a search may make, and what is believed of each before any is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mergecast.merging.recipe import Recipe
from mergecast.tables.sets import join_members
from mergecast.typing import Floats


@dataclass(frozen=True)
class Candidate:
    """A merge that may be made.

    Attributes
    ----------
    members : tuple of str
        Labels, sorted.
    recipe : Recipe
        How they are merged, strength, weights and seed included.
    method : str
        What the forecaster calls the recipe that it came from; the same for one whose strength or
        weights the search changed.
    """

    members: tuple[str, ...]
    recipe: Recipe
    method: str

    @property
    def name(self) -> str:
        """The models and the recipe, as people read it."""
        return f"{join_members(self.members)} by {self.recipe}"

    @property
    def key(self) -> str:
        """What no two different merges share."""
        return f"{join_members(self.members)} {self.recipe.key}"


@dataclass(frozen=True)
class Priced:
    """A merge and the belief about it that forecasts give.

    Attributes
    ----------
    candidate : Candidate
        The merge.
    kept : (k,) array
        What each member is forecast to keep.
    sd : (k,) array
        Standard deviation of the forecasts' errors.
    known : bool
        Whether there is a forecast; else `kept` is what is believed of a merge that nobody knows.
    """

    candidate: Candidate
    kept: Floats
    sd: Floats
    known: bool = True

    @property
    def forecast(self) -> Floats:
        """What is shown as the forecast, (k,): NaN where there is none."""
        return self.kept if self.known else np.full(len(self.kept), np.nan)


@dataclass(frozen=True)
class Pool:
    """All that a search may make.

    Attributes
    ----------
    labels : tuple of str
        The models, sorted.
    priced : list of Priced
        Merges with a forecast.
    left_out : tuple of str
        What is not among them, and why, a sentence each.
    """

    labels: tuple[str, ...]
    priced: Sequence[Priced]
    left_out: tuple[str, ...] = ()

    @property
    def methods(self) -> list[str]:
        """What the merges are made by, sorted."""
        return sorted({one.candidate.method for one in self.priced})

    def best(self, utilities: Floats, most: int) -> Pool:
        """The `most` merges of the highest utility, in their old order."""
        if len(self.priced) <= most:
            return self
        kept = np.sort(np.argsort(-utilities, kind="stable")[:most])
        left = len(self.priced) - most
        said = f"{left:,} merges were never looked at: {most:,} others are forecast to do better"
        return Pool(self.labels, [self.priced[row] for row in kept], (*self.left_out, said))
