"""What members keep at other strengths and weights of a merge, by superposition: no pass at all.

Shifts are read at other shares than a set's (`Shifts.in_set`) and added up again. What that says of
a merge is used beside a merge of the same models that was forecast or made: how much better or
worse it is, not how good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.collect import gather
from mergecast.evidence.superposition.sets import SetJudge
from mergecast.evidence.superposition.shifts import Shifts
from mergecast.typing import Floats


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
        shares = 2 / len(given) * factor * given / given.mean()
        values = np.empty(len(self.members))
        for row, task in enumerate(self.members):
            answers = self._merged(task, shares.tolist()).float()[None]
            values[row] = float(self.judges[task].values(answers)[0])
        return values

    def _merged(self, task: str, shares: Sequence[float]) -> Tensor:
        """What a merge answers on a task's samples at shares of the members' strengths, (r, k)."""
        at = {x: share * self.strengths[x] for x, share in zip(self.members, shares, strict=True)}
        own = self.shifts.own_at(task, self.method, shares[self.members.index(task)])
        return self.shifts.merged(task, at, own)
