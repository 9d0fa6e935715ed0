"""What members keep at other strengths and weights of a merge, by superposition: no pass at all.

Shifts at a set's shares (`Shifts.in_set`) are made larger or smaller and added up again. What that
says of a merge is used beside a merge of the same models that was forecast or made: how much better
or worse it is, not how good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mergecast.errors import UndefinedError
from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.collect import gather
from mergecast.evidence.superposition.sets import SetJudge
from mergecast.typing import Floats


@dataclass(frozen=True)
class Nearby:
    """The members of one merge by one method.

    Attributes
    ----------
    members : tuple of str
        Sorted.
    base, shifts, judges : mapping of str
        Member to the base's answers to its samples, (r, k); every member's shift of them at its
        share; and what says how much is kept.
    """

    members: tuple[str, ...]
    base: Mapping[str, Tensor]
    shifts: Mapping[str, Mapping[str, Tensor]]
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
        parts: dict[str, dict[str, Tensor]] = {}
        judges = {}
        for task in names:
            own, others = shifts.in_set(task, method, len(names))
            for label in names:
                if label != task and label not in others:
                    raise UndefinedError(f"model {label!r}", f"cannot be merged alone by {method}")
            parts[task] = {task: own - shifts.base[task], **others}
            judges[task] = SetJudge.of(narrow, shifts, kept[task], task)
        return cls(names, shifts.base, parts, judges)

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
        shares = factor * given / given.mean()
        values = np.empty(len(self.members))
        for row, task in enumerate(self.members):
            merged = self.base[task].clone()
            for label, share in zip(self.members, shares, strict=True):
                merged += float(share) * self.shifts[task][label]
            answers = merged.float()[None]
            values[row] = float(self.judges[task].values(answers)[0])
        return values
