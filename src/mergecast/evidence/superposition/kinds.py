"""Models that change the same parameters: what merging one does tells of the others.

Merges of two models that change all parameters, of two adapters, and of one and the other lose
differently from what shifts say. Which parameters a task vector changes at all tells them apart,
whether an adapter is stored as one or added to its base.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations, combinations_with_replacement
from math import comb, prod

import numpy as np

from mergecast.evidence.session import Session
from mergecast.family.blocks import BLOCKS, CHUNK_ELEMENTS, ParamBlock
from mergecast.runtime.seeds import derived_seed
from mergecast.runtime.stage import Stage

CHANGED = Stage(
    "changed parameters",
    1,
    uses=(BLOCKS,),
    modules=("mergecast.evidence.superposition.kinds",),
)
Kinds = Mapping[str, str]
"""Label to the kind of a model, which is called by the first of its labels."""


def kinds_of(session: Session) -> dict[str, str]:
    """The kind of every model of a family; all are of one where they change the same parameters."""
    return alike({label: changed(session, label) for label in session.family.names})


def alike(changed: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Models of one kind, by the parameters that each changes.

    Two are where they change more parameters both than one of them alone, or where a third one is
    of both their kinds.
    """
    kinds = {label: label for label in sorted(changed)}
    for left, right in combinations(kinds, 2):
        one, other = {*changed[left]}, {*changed[right]}
        if len(one & other) > len(one ^ other) or one == other:
            first, second = sorted((kinds[left], kinds[right]))
            kinds = {label: first if kind == second else kind for label, kind in kinds.items()}
    return kinds


def changed(session: Session, label: str) -> list[str]:
    """The shared parameters of which a model changes any number, by the base's names, sorted."""
    family = session.family.subset([label])
    spec = {
        "stage": CHANGED.key,
        "base": session.base_digest,
        "model": session.digest(label),
        "shared": list(family.shared),
        **({"vocabulary": family.vocabulary.mode} if family.vocabulary else {}),
    }

    def compute() -> dict[str, object]:
        return {"changed": [name for name in family.shared if _changes(family.block(name))]}

    return [str(name) for name in session.unit(spec, compute)["changed"]]


def together(members: Sequence[str], kinds: Kinds) -> tuple[str, ...]:
    """The kinds of a merge's members, sorted."""
    return tuple(sorted(kinds[label] for label in members))


def role(label: str, members: Sequence[str], kinds: Kinds) -> tuple[str, tuple[str, ...]]:
    """A member's kind, and the kinds of all members: members alike in that lose alike."""
    return kinds[label], together(members, kinds)


def in_order(kinds: Kinds) -> dict[str, list[str]]:
    """The models of every kind, in an order that depends on names alone."""
    groups: dict[str, list[str]] = {}
    for label in sorted(kinds, key=lambda name: derived_seed(0, "checked pair", name)):
        groups.setdefault(kinds[label], []).append(label)
    return groups


def compositions(kinds: Kinds, size: int) -> list[tuple[str, ...]]:
    """What kinds sets of a size can be made of, each sorted, those of the most sets first."""
    counts = Counter(kinds.values())
    sets = {
        one: prod(comb(counts[kind], of_it) for kind, of_it in Counter(one).items())
        for one in combinations_with_replacement(sorted(counts), size)
    }
    return sorted((one for one, count in sets.items() if count), key=lambda one: (-sets[one], one))


def _changes(block: ParamBlock) -> bool:
    """Whether the only model of a block differs from the base anywhere."""
    parts = range(0, block.size, CHUNK_ELEMENTS)
    return any(
        np.any(block.part(start, min(start + CHUNK_ELEMENTS, block.size))[1]) for start in parts
    )
