"""What members keep at other strengths and weights of a merge, by superposition: no pass at all.

Shifts are read at other shares than a set's (`Shifts.in_set`) and added up again. Of a method that
leaves a model more than a half of its task vector, other strengths lie beyond what was measured:
its shifts are made larger or smaller in proportion. What either says of a merge is used beside a
merge of the same models that was forecast or made: how much better or worse it is, not how good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.collect import gather
from mergecast.evidence.superposition.set_judge import SetJudge
from mergecast.evidence.superposition.shifts import HALF, Shifts
from mergecast.typing import Floats

# Strengths are told by their effect, which is exact to a little less than that.
_NEAR = 1e-3


@dataclass(frozen=True)
class Nearby:
    """The members of one merge by one method.

    Attributes
    ----------
    members : tuple of str
        Sorted.
    method : str
        The method.
    shifts : Shifts
        What the models do to each other's answers.
    strengths : mapping of str to float
        Member to its strength under the method in a pair.
    judges : mapping of str to SetJudge
        Member to what says how much it keeps.
    """

    members: tuple[str, ...]
    method: str
    shifts: Shifts
    strengths: Mapping[str, float]
    judges: Mapping[str, SetJudge]

    @classmethod
    def of(cls, session: Session, members: Sequence[str], method: str) -> Nearby:
        """From what the session's store holds of these models.

        Raises
        ------
        UndefinedError
            A member cannot be merged alone by the method, or its answers are no classes.
        """
        names = tuple(sorted(members))
        narrow = session.narrowed(names)
        kept = {label: own_answers(narrow, label)[0] for label in names}
        shifts = gather(narrow, (method,))
        strengths = {label: shifts.strength(label, method) for label in names}
        judges = {task: SetJudge.of(narrow, shifts, kept[task], task) for task in names}
        return cls(names, method, shifts, strengths, judges)

    def kept(self, factor: float, weights: Mapping[str, float] | None = None) -> Floats:
        """What each member keeps, (k,).

        Parameters
        ----------
        factor : float
            Strength against that of the recipe.
        weights : mapping of str to float, optional
            Of the members, in any unit; all alike by default.
        """
        given = np.array([(weights or {}).get(label, 1.0) for label in self.members])
        shares = dict(zip(self.members, (factor * given / given.mean()).tolist(), strict=True))
        measured = max(self.strengths.values()) <= HALF + _NEAR
        merged = self._read if measured else self._in_proportion
        values = np.empty(len(self.members))
        for row, task in enumerate(self.members):
            answers = merged(task, shares).float()[None]
            values[row] = float(self.judges[task].values(answers)[0])
        return values

    def _read(self, task: str, shares: Mapping[str, float]) -> Tensor:
        """What a merge answers on a task's samples, (r, k), every shift read at its share."""
        pair = 2 / len(self.members)
        at = {label: pair * share * self.strengths[label] for label, share in shares.items()}
        own = self.shifts.own_at(task, self.method, pair * shares[task])
        return self.shifts.merged(task, at, own)

    def _in_proportion(self, task: str, shares: Mapping[str, float]) -> Tensor:
        """The same, shifts in the set made larger or smaller."""
        own, others = self.shifts.in_set(task, self.method, len(self.members))
        merged = self.shifts.base[task] + shares[task] * (own - self.shifts.base[task])
        for label, share in shares.items():
            if label != task:
                merged = merged + share * others[label]
        return merged
