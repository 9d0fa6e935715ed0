"""A few pairs that are merged after all: by how much superposed answers say too much or too little.

What models do to each other beyond adding up differs from method to method and from family to
family, and hardly from pair to pair: a method that makes members' task vectors orthogonal spares
them much of what shifts say. So a few pairs, whatever the size of the family, tell it for all: by
how much losses are to be multiplied, and what is lost where shifts say that nothing is. They tell
it of losses as large as theirs; what goes beyond is as shifts say.

In a family of models of several kinds, of whole models and adapters say, merges of the same kinds
tell it of each other first, and all of them of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Self, TypeVar

import numpy as np

from mergecast.evidence.readings import Key
from mergecast.evidence.retention.forms import Comparison, ways
from mergecast.evidence.superposition.kinds import Kinds, compositions, in_order, together
from mergecast.typing import Floats

T = TypeVar("T")

#: Pairs of a kind that are merged by every method, of different models. Two to five do alike on
#: eight families of one kind; with one, errors are those of that pair.
PAIRS = 3
#: How far shifts are believed without a check, as ridge penalties: on what their losses are
#: multiplied by, as much as checks of so large a loss, squared; on what is lost beside, as much as
#: so many checks. Chosen on nine families, of 0.02 and 0.1, and of 0.3 to 3.
_BELIEF, _NOTHING = 0.02, 3.0
#: No loss is taken for more than so many times what shifts say.
_MOST = 3.0


def checked_pairs(kinds: Kinds) -> list[tuple[str, str]]:
    """Up to `PAIRS` pairs of every two kinds, each sorted, of different models; by names alone.

    Of many kinds, those come first that most pairs are of; in all there are half as many pairs as
    models, or `PAIRS`.
    """
    groups = in_order(kinds)
    found = []
    for left, right in compositions(kinds, 2):
        one, other = groups[left], groups[right]
        both = (one[::2], one[1::2]) if left == right else (one, other)
        found.append([(min(pair), max(pair)) for pair in zip(*both, strict=False)][:PAIRS])
    return _in_turn(found, len(kinds))


def checked_sets(kinds: Kinds, size: int) -> list[tuple[str, ...]]:
    """Up to `PAIRS` sets of a size of all kinds, each sorted, sharing as few models as they can.

    Of many kinds, as `checked_pairs` has them.
    """
    groups = in_order(kinds)
    found = []
    for made_of in compositions(kinds, size):
        sets: dict[tuple[str, ...], None] = {}
        for turn in range(PAIRS):
            members: list[str] = []
            for kind, count in Counter(made_of).items():
                places = range(turn * count, (turn + 1) * count)
                members += [groups[kind][place % len(groups[kind])] for place in places]
            sets[tuple(sorted(members))] = None
        found.append([*sets])
    return _in_turn(found, len(kinds))


def _in_turn(found: Sequence[Sequence[T]], models: int) -> list[T]:
    """The first of each, then the second of each, up to what checks of so many models are worth."""
    turns = (one for turn in zip_longest(*found) for one in turn if one is not None)
    return [*islice(turns, max(PAIRS, models // 2))]


def corrected(
    superposed: Mapping[Key, Comparison], merged: Mapping[Key, Comparison], kinds: Kinds
) -> dict[Key, Comparison]:
    """Comparisons of one method, all losses brought to what the merges among them say of them.

    A pair that was merged is what its merge is.

    Parameters
    ----------
    superposed : mapping of tuple to Comparison
        By (model, partner, method).
    merged : mapping of tuple to Comparison
        Of some of them, their merges.
    kinds : mapping of str to str
        Label to its kind.
    """
    values = {key: dict(one.values) for key, one in superposed.items()}
    for form, _, entry in ways():
        known = [key for key in merged if form in merged[key].values and form in values[key]]
        if entry.unchanged is not None and known:
            said = np.array([entry.unchanged - values[key][form] for key in known])
            lost = np.array([entry.unchanged - merged[key].values[form] for key in known])
            correct = corrections(said, lost, [together(key[:2], kinds) for key in known])
            for key, found in values.items():
                if form in found:
                    correction = correct(together(key[:2], kinds))
                    value = entry.unchanged - float(correction(entry.unchanged - found[form]))
                    found[form] = min(max(value, entry.range[0]), entry.range[1])
        for key in known:
            values[key][form] = merged[key].values[form]
    return {key: Comparison(values[key], one.missing) for key, one in superposed.items()}


def corrections(
    said: Floats, lost: Floats, made_of: Sequence[Hashable]
) -> Callable[[Hashable], Correction]:
    """What checks say of merges of the same kinds: of those first, drawn towards what all say.

    Parameters
    ----------
    said, lost : (n,) array
        What shifts say of each checked member, and what merging really lost.
    made_of : sequence of length n
        The kinds of what it was merged in.

    Returns
    -------
    callable
        Kinds to their correction: what all checks say, where none or all are of these.
    """
    by_all = Correction.of(said, lost)
    found = dict[Hashable, Correction]()
    for kinds in {*made_of}:
        these = np.array([one == kinds for one in made_of])
        if not these.all():
            found[kinds] = Correction.of(said[these], lost[these], by_all)
    return lambda kinds: found.get(kinds, by_all)


@dataclass(frozen=True)
class Correction:
    """What a few checks say of superposed losses by one method.

    Attributes
    ----------
    factor, beside : float
        What losses are multiplied by, and what is added to them.
    reach : float
        The greatest loss that shifts said of a check. Of a greater one only so much is multiplied:
        nothing was seen of the rest.
    """

    factor: float
    beside: float
    reach: float

    @classmethod
    def of(cls, said: Floats, lost: Floats, towards: Correction | None = None) -> Self:
        """Least squares, drawn towards another or towards 1 and 0; no checks change nothing.

        Parameters
        ----------
        said, lost : (n,) array
            What shifts say of each checked member, and what merging really lost.
        towards : Correction, optional
            Another one, which has seen these checks too.
        """
        start = towards or cls(1.0, 0.0, 0.0)
        design = np.column_stack([said, np.ones(len(said))])
        gram = design.T @ design + np.diag([_BELIEF, _NOTHING])
        rest = lost - start.factor * said - start.beside
        more, beside = np.linalg.solve(gram, design.T @ rest)
        factor = float(np.clip(start.factor + more, 0.0, _MOST))
        return cls(factor, start.beside + float(beside), max([start.reach, *said.tolist()]))

    def __call__(self, said: float | Floats) -> Floats:
        """Superposed losses, corrected, in the shape that is given."""
        beyond = np.maximum(np.subtract(said, self.reach), 0.0)
        return np.asarray(self.factor * (said - beyond) + beyond + self.beside)
