"""What members keep at other strengths and weights of a merge, by superposition: no pass at all.

How strong its members are in a merge is read from its weights (`left_together`); their shifts are
then read at other shares of that, and added up again. Of a method that leaves a model more than a
half of its task vector, other strengths lie beyond what was measured: its shifts are made larger or
smaller in proportion. What either says of a merge is used beside a merge of the same models that
was forecast or made: how much better or worse it is, not how good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from mergecast.errors import UndefinedError
from mergecast.evidence.retention.merges import alone_left
from mergecast.evidence.retention.together import left_together
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.gather import gather
from mergecast.evidence.superposition.lefts import left_of
from mergecast.evidence.superposition.set_judge import SetJudge
from mergecast.evidence.superposition.shares import share_told
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
        Member to its strength in the merge.
    judges : mapping of str to SetJudge
        Member to what says how much it keeps.
    share : float
        How much of what the others do to a member's answers counts.
    """

    members: tuple[str, ...]
    method: str
    shifts: Shifts
    strengths: Mapping[str, float]
    judges: Mapping[str, SetJudge]
    share: float = 1.0

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
        shifts = gather(narrow, (method,))
        merged = left_together(narrow, names, method)
        if not merged:
            raise UndefinedError("+".join(names), f"no merge by {method}")
        strengths = {}
        for label in names:
            left = left_of([(alone_left(narrow, label, method), merged[label])])
            strengths[label] = left.of(shifts.strength(label, method))
        judges = {task: SetJudge.of(narrow, task) for task in names}
        return cls(names, method, shifts, strengths, judges)

    def like(self, kept: Floats) -> Nearby:
        """The same, with the share of the others' shifts by which members keep what is known.

        `kept`, (k,), is what they keep in the merge itself, as it was forecast or measured.
        """
        return replace(self, share=share_told(lambda x: replace(self, share=x).kept(1.0) - kept))

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
        values = np.empty(len(self.members))
        for row, task in enumerate(self.members):
            answers = self._read(task, shares) if measured else self._in_proportion(task, shares)
            values[row] = float(self.judges[task].values(answers.float()[None])[0])
        return values

    def _read(self, task: str, shares: Mapping[str, float]) -> Tensor:
        """What a merge answers on a task's samples, (r, k), every shift read at its share."""
        at = {label: share * self.strengths[label] for label, share in shares.items()}
        return self._added(task, at, dict.fromkeys(at, 1.0))

    def _in_proportion(self, task: str, shares: Mapping[str, float]) -> Tensor:
        """The same, shifts in the merge itself made larger or smaller."""
        return self._added(task, self.strengths, shares)

    def _added(self, task: str, at: Mapping[str, float], times: Mapping[str, float]) -> Tensor:
        """The base's answers and shifts at strengths, each so many times, of others a share."""
        own = self.shifts.own_at(task, self.method, at[task])
        total = self.shifts.base[task] + times[task] * own
        for label in self.members:
            if label != task:
                other = self.shifts.beside(label, task, at[label], at[task])
                total = total + self.share * times[label] * other
        return total
