"""What merges leave of their members beside each other, told by the few that are made.

Of an average of k models 1 / k is left of each, of a sum all. Methods that elect signs, share out
ranks or average where models agree lie between, and more or less is left as models are more or
less alike. It can be read from a merge's weights (`mergecast.evidence.retention.left`), and from
merge to merge of one size it differs little: what the merges say that are made anyway holds for
all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.evidence.retention.merges import alone_left
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.kinds import Kinds, together
from mergecast.evidence.superposition.shifts import Left

Merge = tuple[tuple[str, ...], str]
"""The members of a merge, and its method."""
#: Where less than this is left of a model alone, as by a method that averages nothing with copies
#: of the base, what is left beside others is no multiple of it.
_NOTHING = 0.01
#: Digits of what is left: rounding makes no difference to strengths, and processors round alike.
_DIGITS = 4


@dataclass(frozen=True)
class Lefts:
    """What merges of one size leave of their members, by method.

    Attributes
    ----------
    kinds : mapping of str to str
        Label to its kind.
    by_role : mapping
        Method, a member's kind and the kinds of all members to what is left of such a member.
    by_method : mapping of str to Left
        Method to what is left where no merge was of such members.
    """

    kinds: Kinds
    by_role: Mapping[tuple[str, str, tuple[str, ...]], Left]
    by_method: Mapping[str, Left]

    @classmethod
    def of(
        cls,
        session: Session,
        kinds: Kinds,
        merges: Mapping[Merge, Mapping[str, float]],
        unknown: Left,
    ) -> Lefts:
        """From real merges: members and method to what is left of each.

        `unknown` is what a method leaves of which no merge says it.
        """
        every: dict[str, list[tuple[float, float]]] = {}
        roles: dict[tuple[str, str, tuple[str, ...]], list[tuple[float, float]]] = {}
        for (members, method), left in merges.items():
            for label, beside in left.items():
                try:
                    both = (alone_left(session, label, method), beside)
                except UndefinedError:
                    continue
                every.setdefault(method, []).append(both)
                here = (method, kinds[label], together(members, kinds))
                roles.setdefault(here, []).append(both)
        methods = dict.fromkeys(session.methods, unknown)
        return cls(
            kinds,
            {here: left_of(rows) for here, rows in roles.items()},
            methods | {method: left_of(rows) for method, rows in every.items()},
        )

    def beside(self, method: str, members: Sequence[str]) -> dict[str, Left]:
        """What is left of any model in a merge of such members, by label."""
        return self.among(method, together(members, self.kinds))

    def among(self, method: str, composition: tuple[str, ...]) -> dict[str, Left]:
        """The same by the kinds of a merge's members, sorted."""
        usual = self.by_method[method]
        return {
            label: self.by_role.get((method, kind, composition), usual)
            for label, kind in self.kinds.items()
        }


def left_of(rows: Iterable[tuple[float, float]]) -> Left:
    """What is left beside others, of what is left alone and beside others of some members."""
    alone, beside = np.mean([*rows], axis=0).tolist()
    if alone < _NOTHING:
        return Left(0.0, round(beside, _DIGITS))
    return Left(round(beside / alone, _DIGITS))
