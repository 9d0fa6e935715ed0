"""A few pairs that are merged after all: by how much superposed answers say too much or too little.

What models do to each other beyond adding up differs from method to method and from family to
family, and hardly from pair to pair: a method that makes members' task vectors orthogonal spares
them much of what shifts say. So a few pairs, whatever the size of the family, tell it for all: by
how much losses are to be multiplied, and what is lost where shifts say that nothing is. They tell
it of losses as large as theirs; what goes beyond is as shifts say.

In a family of models of several kinds, of whole models and adapters say, pairs of every two kinds
are merged, and members of one kind beside another tell it of each other first, and all of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np

from mergecast.evidence.readings import Key
from mergecast.evidence.retention.forms import Comparison, ways
from mergecast.evidence.superposition.kinds import (
    Kinds,
    compositions,
    in_order,
    role,
    together,
)
from mergecast.typing import Floats

#: Pairs of a kind that are merged by every method, of different models. Two to five do alike on
#: eight families of one kind; with one, errors are those of that pair.
PAIRS = 3
#: How far shifts are believed without a check, as ridge penalties: on what their losses are
#: multiplied by, as much as checks of so large a loss, squared; on what is lost beside, as much as
#: so many checks. Chosen on nine families, of 0.02 and 0.1, and of 0.3 to 3.
_BELIEF, _NOTHING = 0.02, 3.0
#: No loss is taken for more than so many times what shifts say.
_MOST = 3.0


def checked_pairs(kinds: Kinds, lost: Mapping[tuple[str, str], float]) -> list[tuple[str, str]]:
    """Pairs to be merged as a check, each sorted, of different models.

    Of models of one kind up to `PAIRS`, which ones by names alone. Of several kinds up to as many
    of every two, and no more than there are models: spread over what pairs of these kinds lose, so
    that what they say of the others does not hang on names.

    Parameters
    ----------
    kinds : mapping of str to str
        Label to its kind.
    lost : mapping of tuple to float
        Every pair, sorted, to what shifts say that it loses; read where there are several kinds.
    """
    groups = in_order(kinds)
    if len(groups) == 1:
        [order] = groups.values()
        by_name = zip(order[::2], order[1::2], strict=False)
        return [(min(pair), max(pair)) for pair in by_name][:PAIRS]
    made_of = compositions(kinds, 2)
    sizes = {kind: len(labels) for kind, labels in groups.items()}
    disjoint = [
        sizes[one] // 2 if one == other else min(sizes[one], sizes[other]) for one, other in made_of
    ]
    found = []
    for two, count in zip(made_of, _shared_out(disjoint, len(kinds)), strict=True):
        pairs = [pair for pair in combinations(sorted(kinds), 2) if together(pair, kinds) == two]
        found += _spread(sorted(pairs, key=lambda pair: (lost[pair], pair)), count)
    return found


def checked_sets(kinds: Kinds, size: int) -> list[tuple[str, ...]]:
    """Sets of a size to be merged as a check, each sorted, sharing as few models as they can.

    Up to `PAIRS` of models of one kind, or of every composition of several, those of the most sets
    first, and then no more than half as many as models; which ones, by names alone.
    """
    groups = in_order(kinds)
    made_of = compositions(kinds, size)
    found = []
    for one, count in zip(
        made_of, _shared_out([PAIRS] * len(made_of), len(kinds) // 2), strict=True
    ):
        sets: dict[tuple[str, ...], None] = {}
        for turn in range(count):
            members: list[str] = []
            for kind, of_it in Counter(one).items():
                places = range(turn * of_it, (turn + 1) * of_it)
                members += [groups[kind][place % len(groups[kind])] for place in places]
            sets[tuple(sorted(members))] = None
        found += [*sets]
    return found


def _shared_out(most: Sequence[int], total: int) -> list[int]:
    """One check for each in turn, to `PAIRS` or as many as there can be, up to a total."""
    found = [0] * len(most)
    for turn in range(PAIRS):
        for place, here in enumerate(most):
            if here > turn and sum(found) < max(total, PAIRS):
                found[place] += 1
    return found


def _spread(ordered: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """Pairs in the middle of so many equal parts, or the next ones that share no model."""
    found: list[tuple[str, str]] = []
    for part in range(count):
        middle = (part + 0.5) / count * (len(ordered) - 1)
        used = {label for pair in found for label in pair}
        free = [place for place, pair in enumerate(ordered) if not used & {*pair}]
        if free:
            found.append(ordered[min(free, key=lambda place: abs(place - middle))])
    return found


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
            correct = corrections(said, lost, [role(key[0], key[:2], kinds) for key in known])
            for key, found in values.items():
                if form in found:
                    correction = correct(role(key[0], key[:2], kinds))
                    value = entry.unchanged - float(correction(entry.unchanged - found[form]))
                    found[form] = min(max(value, entry.range[0]), entry.range[1])
        for key in known:
            values[key][form] = merged[key].values[form]
    return {key: Comparison(values[key], one.missing) for key, one in superposed.items()}


def corrections(
    said: Floats, lost: Floats, roles: Sequence[Hashable]
) -> Callable[[Hashable], Correction]:
    """What checks say of members in the same role: those first, drawn towards what all say.

    Parameters
    ----------
    said, lost : (n,) array
        What shifts say of each checked member, and what merging really lost.
    roles : sequence of length n
        See `mergecast.evidence.superposition.kinds.role`.

    Returns
    -------
    callable
        Roles to their correction: what all checks say, where none or all are of this one.
    """
    by_all = Correction.of(said, lost)
    found = dict[Hashable, Correction]()
    for here in {*roles}:
        these = np.array([one == here for one in roles])
        if not these.all():
            found[here] = Correction.of(said[these], lost[these], by_all)
    return lambda asked: found.get(asked, by_all)


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
