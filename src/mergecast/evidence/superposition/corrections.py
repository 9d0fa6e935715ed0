"""What a few merges say of superposed answers: by how much these say too much or too little.

What models do to each other beyond adding up differs from method to method and from family to
family, and hardly from pair to pair: a method that makes members' task vectors orthogonal spares
them much of what shifts say. So a few pairs, whatever the size of the family, tell it for all: by
how much losses are to be multiplied, and what is lost where shifts say that nothing is. They tell
it of losses as large as theirs; what goes beyond is as shifts say.

In a family of models of several kinds, of whole models and adapters say, members of one kind beside
another tell it of each other first, and all of all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from mergecast.evidence.readings import Key
from mergecast.evidence.retention.forms import Comparison, ways
from mergecast.evidence.superposition.kinds import Kinds, role
from mergecast.typing import Floats

#: How far shifts are believed without a check, as ridge penalties: on what their losses are
#: multiplied by, as much as checks of so large a loss, squared; on what is lost beside, as much as
#: so many checks. Chosen on nine families, of 0.02 and 0.1, and of 0.3 to 3.
_BELIEF, _NOTHING = 0.02, 3.0
#: No loss is taken for more than so many times what shifts say.
_MOST = 3.0


def corrected(
    superposed: Mapping[Key, Comparison], merged: Mapping[Key, Comparison], kinds: Kinds
) -> dict[Key, Comparison]:
    """Comparisons of one method, all losses brought to what the merges among them say of them.

    A pair that was merged is what its merge is, also where shifts say nothing of it.

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
    missing = {key: one.missing for key, one in superposed.items()}
    for key, real in merged.items():
        values[key] |= real.values
        missing[key] = {form: why for form, why in missing[key].items() if form not in real.values}
    return {key: Comparison(values[key], missing[key]) for key in superposed}


def corrections(
    said: Floats, lost: Floats, roles: Sequence[Hashable]
) -> Callable[[Hashable], Correction]:
    """What checks say of members in the same role: those first, drawn towards what all say.

    Parameters
    ----------
    said, lost : (n,) array
        What shifts say of each checked member, and what merging really lost.
    roles : Sequence[Hashable]
        Theirs, n; see `mergecast.evidence.superposition.kinds.role`.

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
