"""A few pairs that are merged after all: by how much superposed answers say too much or too little.

What models do to each other beyond adding up differs from method to method and from family to
family, and hardly from pair to pair: a method that makes members' task vectors orthogonal spares
them much of what shifts say. So a few pairs, whatever the size of the family, tell it for all: by
how much losses are to be multiplied, and what is lost where shifts say that nothing is. They tell
it of losses as large as theirs; what goes beyond is as shifts say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from mergecast.evidence.readings import Key
from mergecast.evidence.retention.forms import Comparison, ways
from mergecast.runtime.seeds import derived_seed
from mergecast.typing import Floats

#: Pairs that are merged by every method, of different models. Two to five do alike on eight
#: families; with one, errors are those of that pair.
PAIRS = 3
#: How far shifts are believed without a check, as ridge penalties: on what their losses are
#: multiplied by, as much as checks of so large a loss, squared; on what is lost beside, as much as
#: so many checks. Chosen on nine families, of 0.02 and 0.1, and of 0.3 to 3.
_BELIEF, _NOTHING = 0.02, 3.0
#: No loss is taken for more than so many times what shifts say.
_MOST = 3.0


def checked_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Up to `PAIRS` pairs of different models, each sorted; which ones depends on names alone."""
    order = sorted(names, key=lambda name: derived_seed(0, "checked pair", name))
    pairs = zip(order[::2], order[1::2], strict=False)
    return [(min(pair), max(pair)) for pair in pairs][:PAIRS]


def checked_sets(names: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """Up to `PAIRS` sets of a size, each sorted, that share as few models as they can."""
    order = sorted(names, key=lambda name: derived_seed(0, "checked pair", name))
    found: dict[tuple[str, ...], None] = {}
    for first in range(0, PAIRS * size, size):
        members = [order[place % len(order)] for place in range(first, first + size)]
        found[tuple(sorted(members))] = None
    return [*found]


def corrected(
    superposed: Mapping[Key, Comparison], merged: Mapping[Key, Comparison]
) -> dict[Key, Comparison]:
    """Comparisons of one method, all losses brought to what the merges among them say of them.

    A pair that was merged is what its merge is.

    Parameters
    ----------
    superposed : mapping of tuple to Comparison
        By (model, partner, method).
    merged : mapping of tuple to Comparison
        Of some of them, their merges.
    """
    values = {key: dict(one.values) for key, one in superposed.items()}
    for form, _, entry in ways():
        known = [key for key in merged if form in merged[key].values and form in values[key]]
        if entry.unchanged is not None and known:
            said = np.array([entry.unchanged - values[key][form] for key in known])
            lost = np.array([entry.unchanged - merged[key].values[form] for key in known])
            correction = Correction.of(said, lost)
            for found in values.values():
                if form in found:
                    value = entry.unchanged - float(correction(entry.unchanged - found[form]))
                    found[form] = min(max(value, entry.range[0]), entry.range[1])
        for key in known:
            values[key][form] = merged[key].values[form]
    return {key: Comparison(values[key], one.missing) for key, one in superposed.items()}


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
    def of(cls, said: Floats, lost: Floats) -> Self:
        """Least squares, drawn towards 1 and 0; no checks change nothing.

        Parameters
        ----------
        said, lost : (n,) array
            What shifts say of each checked member, and what merging really lost.
        """
        design = np.column_stack([said, np.ones(len(said))])
        gram = design.T @ design + np.diag([_BELIEF, _NOTHING])
        more, beside = np.linalg.solve(gram, design.T @ (lost - said))
        factor = float(np.clip(1 + more, 0.0, _MOST))
        return cls(factor, float(beside), max([0.0, *said.tolist()]))

    def __call__(self, said: float | Floats) -> Floats:
        """Superposed losses, corrected, in the shape that is given."""
        beyond = np.maximum(np.subtract(said, self.reach), 0.0)
        return np.asarray(self.factor * (said - beyond) + beyond + self.beside)
