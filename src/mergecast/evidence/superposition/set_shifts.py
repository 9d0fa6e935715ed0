"""What models keep in merges of more than two, for many sets at once.

As of pairs the mean of two ways to say it: what answers keep that shifts add up to, and what the
model keeps without the others, less the share that each takes of what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch

from mergecast.errors import UndefinedError
from mergecast.evidence.superposition.kinds import together
from mergecast.evidence.superposition.lefts import Lefts
from mergecast.evidence.superposition.losses import Losses
from mergecast.evidence.superposition.set_judge import FORM, SetJudge
from mergecast.evidence.superposition.shares import share_told
from mergecast.evidence.superposition.shifts import Left, Shifts
from mergecast.typing import Floats

#: Numbers of logits held at once.
_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class SetShifts:
    """What models do to each other's answers in merges of one size, and what they keep.

    Attributes
    ----------
    shifts : Shifts
        Of all models.
    judges : mapping of str to SetJudge
        Label to what says how much of its own answers merges keep.
    lefts : Lefts
        What merges of this size leave of their members.
    """

    shifts: Shifts
    judges: Mapping[str, SetJudge]
    lefts: Lefts

    def kept(
        self, sets: Sequence[tuple[str, ...]], method: str, share: float = 1.0
    ) -> tuple[Floats, Floats]:
        """What each member of each set keeps, (sets, size), and what it keeps without the others.

        NaN where that is not defined.

        Parameters
        ----------
        sets : sequence of tuple of str
            Each sorted.
        method : str
            One that the models were merged alone by.
        share : float
            How much of what the others do to a member's answers counts.
        """
        names = sorted({*chain.from_iterable(sets)})
        order = {name: place for place, name in enumerate(names)}
        places = np.array([[order[one] for one in members] for members in sets], dtype=np.intp)
        alike: dict[tuple[str, ...], list[int]] = {}
        for row, members in enumerate(sets):
            alike.setdefault(together(members, self.lefts.kinds), []).append(row)
        found, alone = np.full((2, *places.shape), np.nan)
        for composition, of_it in alike.items():
            left = self.lefts.among(method, composition)
            for number, task in enumerate(names):
                rows, columns = np.nonzero(places[of_it] == number)
                if len(rows):
                    here = (np.array(of_it)[rows], columns)
                    found[here], alone[here] = self._kept_of(
                        task, method, left, share, places[here[0]], names
                    )
        return found, alone

    def share(self, checks: Sequence[tuple[str, ...]], merged: Floats, method: str) -> float:
        """How much of what the others do to a member's answers shows in merged sets, 0 to 1.

        What several models do to one's answers together is less than the sum of it, by how much
        hangs on the method and on the family. All of it, where no merge says otherwise.

        Parameters
        ----------
        checks : sequence of tuple of str
            Sets that were merged.
        merged : (checks, size) array
            What their members kept; NaN where that is not defined.
        method : str
            That they were merged by.
        """
        if not checks:
            return 1.0
        return share_told(lambda share: self.kept(checks, method, share)[0] - merged)

    def _kept_of(
        self,
        task: str,
        method: str,
        left: Mapping[str, Left],
        share: float,
        places: npt.NDArray[np.intp],
        names: Sequence[str],
    ) -> tuple[Floats, float]:
        """What a model keeps in each of some sets that it is in, (n,), and without the others.

        Sets are places in `names`, (n, size). NaN where that is not defined.
        """
        judge = self.judges[task]
        try:
            own, others = self.shifts.in_merge(task, method, left, names)
        except UndefinedError:
            return np.full(len(places), np.nan), np.nan
        known = [label for label in names if label in others]
        if not known:
            return np.full(len(places), np.nan), np.nan
        parts = share * torch.stack([others[label].flatten() for label in known]).float()
        inside = np.zeros((len(places), len(names)), dtype="float32")
        np.put_along_axis(inside, places, 1.0, axis=1)
        column = {name: place for place, name in enumerate(names)}
        lacking = [label for label in names if label not in others and label != task]
        values = np.empty(len(places))
        at_once = max(_AT_ONCE // own.numel(), 1)
        chosen = torch.from_numpy(inside[:, [column[label] for label in known]])
        for first in range(0, len(places), at_once):
            some = slice(first, first + at_once)
            merged = own.flatten().float() + chosen[some] @ parts
            values[some] = judge.values(merged.reshape(-1, *own.shape)).numpy()
        without = inside[:, [column[label] for label in lacking]].any(axis=1)
        alone = _kept(judge, own)
        lost = share * np.array([self._lost(task, label, method, left[label]) for label in known])
        told = alone * np.where(chosen > 0, np.maximum(1 - lost, 0), 1).prod(axis=1)
        values = np.where(np.isnan(told), values, (values + told) / 2)
        return np.where(without, np.nan, values), alone

    def _lost(self, task: str, label: str, method: str, left: Left) -> float:
        """What share of what it keeps a task's model loses beside another, in such a merge."""
        strength = left.of(self.shifts.strength(label, method))
        return self._losses.beside(task, label, strength).get(FORM, np.nan)

    @cached_property
    def _losses(self) -> Losses:
        return Losses(self.shifts, {task: _values_of(one) for task, one in self.judges.items()})


def _values_of(judge: SetJudge) -> Callable[[torch.Tensor], Mapping[str, float]]:
    return lambda answers: {FORM: _kept(judge, answers)}


def _kept(judge: SetJudge, answers: torch.Tensor) -> float:
    """What one merge's answers, (r, k), keep."""
    return float(judge.values(answers[None].float())[0])
