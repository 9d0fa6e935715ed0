"""A few pairs that are merged after all: by how much superposed answers say too much or too little.

What models do to each other beyond adding up differs from method to method and from family to
family, and hardly from pair to pair: a method that makes members' task vectors orthogonal spares
them much of what shifts say. So a few pairs, whatever the size of the family, tell it for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mergecast.evidence.readings import Key
from mergecast.evidence.retention.forms import Comparison, ways
from mergecast.runtime.seeds import derived_seed

#: Pairs that are merged by every method, of different models. Two to five do alike on eight
#: families; with one, errors are those of that pair.
PAIRS = 3
#: How far shifts are believed without a check: as much as checks of so large a loss, squared.
_BELIEF = 0.02
#: No loss is taken for more than so many times what shifts say.
_MOST = 3.0


def checked_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Up to `PAIRS` pairs of different models, each sorted; which ones depends on names alone."""
    order = sorted(names, key=lambda name: derived_seed(0, "checked pair", name))
    pairs = zip(order[::2], order[1::2], strict=False)
    return [(min(pair), max(pair)) for pair in pairs][:PAIRS]


def corrected(
    superposed: Mapping[Key, Comparison], merged: Mapping[Key, Comparison]
) -> dict[Key, Comparison]:
    """Comparisons of one method, all losses multiplied by what the merges among them say of them.

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
            losses = [
                tuple(entry.unchanged - one[form] for one in (values[key], merged[key].values))
                for key in known
            ]
            share = factor(losses)
            for found in values.values():
                if form in found:
                    value = entry.unchanged - share * (entry.unchanged - found[form])
                    found[form] = min(max(value, entry.range[0]), entry.range[1])
        for key in known:
            values[key][form] = merged[key].values[form]
    return {key: Comparison(values[key], one.missing) for key, one in superposed.items()}


def factor(losses: Sequence[tuple[float, ...]]) -> float:
    """By what superposed losses are multiplied, from pairs of them and of what merging lost."""
    product = sum(said * lost for said, lost in losses) + _BELIEF
    return min(max(product / (sum(said**2 for said, _ in losses) + _BELIEF), 0.0), _MOST)
