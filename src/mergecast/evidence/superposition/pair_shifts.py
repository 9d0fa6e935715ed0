"""What models keep in merges of two, for every pair, in every form of retention.

The mean of two ways to say it: what answers keep that shifts add up to, and what the model keeps
without its partner, less the share that partners take (`losses`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from mergecast.errors import UndefinedError
from mergecast.evidence.readings import Key
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.superposition.checks import SAID
from mergecast.evidence.superposition.lefts import Lefts
from mergecast.evidence.superposition.losses import Losses, Values
from mergecast.evidence.superposition.shares import share_told
from mergecast.evidence.superposition.shifts import Left, Shifts


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
            How much of what the partner does to a model counts.
        """
        found: dict[Key, Comparison] = {}
        for task, partner in pairs:
            left = self.lefts.beside(method, (task, partner))
            try:
                merged = self.shifts.of_pair(task, partner, method, left, share)
                told = self.by_losses(task, partner, method, left, share)
            except UndefinedError as reason:
                found[task, partner, method] = forms.all_missing(str(reason))
            else:
                found[task, partner, method] = _mean(self.judges[task](merged), told)
        return found

    def by_losses(
        self, task: str, partner: str, method: str, left: Mapping[str, Left], share: float
    ) -> Values:
        """What a model keeps by what it keeps without its partner, and loses beside it, by form.

        `left` is what the merge leaves of both, and `share` how much of the loss counts. Raises
        UndefinedError where one of them cannot be merged alone.
        """
        here = (task, method, left[task])
        if here not in self._without:
            answers, _ = self.shifts.in_merge(task, method, left, ())
            self._without[here] = self.judges[task](answers).values
        strength = left[partner].of(self.shifts.strength(partner, method))
        lost, without = self._losses.beside(task, partner, strength), self._without[here]
        return {form: without[form] * (1 - share * lost[form]) for form in without.keys() & lost}

    @cached_property
    def _losses(self) -> Losses:
        return Losses(self.shifts, {task: _values_of(one) for task, one in self.judges.items()})

    @cached_property
    def _without(self) -> dict[tuple[str, str, Left], Values]:
        """What models keep without a partner, by method and what it leaves, as far as asked for."""
        return {}

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


def _values_of(judge: Callable[[Tensor], Comparison]) -> Callable[[Tensor], Values]:
    return lambda answers: judge(answers).values


def _mean(said: Comparison, told: Values) -> Comparison:
    """Of what answers and losses say; answers alone in forms that have no losses."""
    values = dict(said.values)
    for form, _, entry in forms.ways():
        if form in values and form in told:
            low, high = entry.range
            values[form] = (values[form] + min(max(told[form], low), high)) / 2
    return Comparison(values, said.missing)


def _value(comparison: Comparison) -> float:
    return comparison.values.get(SAID, np.nan)
