"""Shifts in merges of two models, added up for every pair, in every form of retention."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from torch import Tensor

from mergecast.errors import UndefinedError
from mergecast.evidence.readings import Key
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.superposition.checks import SAID
from mergecast.evidence.superposition.costs import Costs
from mergecast.evidence.superposition.lefts import Lefts
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
                said = self.judges[task](merged)
                told = self._by_costs(task, partner, method, left, share)
                found[task, partner, method] = _mean(said, told)
        return found

    @cached_property
    def _costs(self) -> Costs:
        values = {task: partial(_values, judge) for task, judge in self.judges.items()}
        return Costs(self.shifts, values)

    @cached_property
    def _alone(self) -> dict[tuple[str, str, Left], Mapping[str, float]]:
        """What models keep without a partner, at what is left of them beside one."""
        return {}

    def _by_costs(
        self, task: str, partner: str, method: str, left: Mapping[str, Left], share: float
    ) -> dict[str, float]:
        """What a model keeps beside a partner, by what it keeps without and the partner's cost."""
        key = (task, method, left[task])
        if key not in self._alone:
            self._alone[key] = self.judges[task](
                self.shifts.of_pair(task, partner, method, left, 0.0)
            ).values
        alone = self._alone[key]
        strength = left[partner].of(self.shifts.strength(partner, method))
        costs = self._costs.beside(task, partner, strength)
        return {form: alone[form] - share * cost for form, cost in costs.items() if form in alone}

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


def _values(judge: Callable[[Tensor], Comparison], answers: Tensor) -> Mapping[str, float]:
    return judge(answers).values


def _mean(said: Comparison, told: Mapping[str, float]) -> Comparison:
    """Of what answers and costs say, in every form; what answers alone say, where costs do not."""
    values = dict(said.values)
    for key, _, form in forms.ways():
        if key in values and key in told:
            mean = (values[key] + told[key]) / 2
            values[key] = min(max(mean, form.range[0]), form.range[1])
    return Comparison(values, said.missing)


def _value(comparison: Comparison) -> float:
    return comparison.values.get(SAID, np.nan)
