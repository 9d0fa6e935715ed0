"""Shifts in merges of two models, added up for every pair, in every form of retention."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mergecast.errors import UndefinedError
from mergecast.evidence.readings import Key
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.superposition.checks import SAID
from mergecast.evidence.superposition.lefts import Lefts
from mergecast.evidence.superposition.shares import share_told
from mergecast.evidence.superposition.shifts import Shifts


@dataclass(frozen=True)
class PairShifts:
    """What models do to each other's answers in merges of two, and what they keep.

    Attributes
    ----------
    shifts : Shifts
        Of all models.
    judges : mapping of str to callable
        Label to what compares a merge's answers, (r, k), with its model's own.
    lefts : Lefts
        What merges of two leave of their members.
    """

    shifts: Shifts
    judges: Mapping[str, Callable[[Tensor], Comparison]]
    lefts: Lefts

    def kept(
        self, pairs: Iterable[tuple[str, str]], method: str, share: float = 1.0
    ) -> dict[Key, Comparison]:
        """What the first model of each pair keeps beside the second, by (model, partner, method).

        Parameters
        ----------
        pairs : iterable of (str, str)
            Models and their partners.
        method : str
            One that models were merged alone by.
        share : float
            How much of what the partner does to a model's answers counts.
        """
        found: dict[Key, Comparison] = {}
        for task, partner in pairs:
            left = self.lefts.beside(method, (task, partner))
            try:
                merged = self.shifts.of_pair(task, partner, method, left, share)
            except UndefinedError as reason:
                found[task, partner, method] = forms.all_missing(str(reason))
            else:
                found[task, partner, method] = self.judges[task](merged)
        return found

    def share(self, merged: Mapping[Key, Comparison], method: str) -> float:
        """How much of a partner's shift shows in merged pairs, 0 to 1: all, where none says less.

        Parameters
        ----------
        merged : mapping of tuple to Comparison
            Members of pairs that were merged by the method, by (model, partner, method).
        method : str
            That method.
        """
        if not merged:
            return 1.0
        pairs = [(str(task), str(partner)) for task, partner, _ in merged]

        def errors(share: float) -> np.ndarray:
            said = self.kept(pairs, method, share)
            return np.array([_value(said[key]) - _value(real) for key, real in merged.items()])

        return share_told(errors)


def _value(comparison: Comparison) -> float:
    return comparison.values.get(SAID, np.nan)
