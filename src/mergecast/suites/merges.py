"""Which merges a run makes: all pairs, and random larger sets, the same for every method."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

from mergecast.errors import UsageError
from mergecast.merging import METHODS
from mergecast.runtime.seeds import derived_seed
from mergecast.tables.sets import split_members

Merge = tuple[str, tuple[str, ...]]
"""A merging method and the members that it merges, sorted."""

SIZES = (3, 4, 5)
"""Numbers of members of the sets that a suite measures beside its pairs."""

N_SETS = 20
"""Sets of each size by default: on ``digits-14`` they take about as long as all pairs."""


def random_sets(tasks: Sequence[str], count: int, seed: int) -> list[tuple[str, ...]]:
    """Distinct random sets of `tasks`, `count` of each size in `SIZES`, smaller sizes first.

    A draw takes the k tasks of lowest hash, so the sets depend on names and seed alone, on no
    library's generator, and more of them continue the list: a run grows without losing any.

    Parameters
    ----------
    tasks : sequence of str
        Names, in any order.
    count : int
        Sets of each size; where there are no more than that, all of them are taken.
    seed : int
        Of the run.

    Returns
    -------
    list of tuple of str
        Sets, each sorted.
    """
    names = sorted(tasks)
    sets: list[tuple[str, ...]] = []
    for size in SIZES:
        if count >= comb(len(names), size):
            sets += combinations(names, size)
            continue
        drawn: dict[tuple[str, ...], None] = {}
        draw = 0
        while len(drawn) < count:
            order = sorted(names, key=lambda name: derived_seed(seed, "set", size, draw, name))
            drawn[tuple(sorted(order[:size]))] = None
            draw += 1
        sets += drawn
    return sets


def pair_merges(methods: Sequence[str], tasks: Sequence[str]) -> list[Merge]:
    """Every pair by every method."""
    pairs = list(combinations(sorted(tasks), 2))
    return [(method, pair) for method in methods for pair in pairs]


def set_merges(methods: Sequence[str], tasks: Sequence[str], n_sets: int, seed: int) -> list[Merge]:
    """Random larger sets by every method that takes so many: some merge two models alone."""
    sets = random_sets(tasks, n_sets, seed)
    most = {method: METHODS.get(method).max_members for method in methods}
    return [
        (method, members)
        for method, limit in most.items()
        for members in sets
        if limit is None or len(members) <= limit
    ]


def asked_merges(
    tasks: Sequence[str],
    methods: Sequence[str],
    *,
    pairs: bool,
    sets: int | None,
    members: Sequence[str],
) -> list[Merge]:
    """The merges that are asked for, by every method, each once, in the order of the methods.

    Parameters
    ----------
    tasks : sequence of str
        Labels of the models that there are.
    methods : sequence of str
        Names of merging methods.
    pairs : bool
        All pairs; they are taken too where nothing else is asked for.
    sets : int or None
        All sets of so many models.
    members : sequence of str
        Sets by their members' labels, joined by ``+``.

    Raises
    ------
    UsageError
        An unknown label or method, a set of fewer than two models or of more than there are, or
        of more than a method merges.
    """
    names = sorted(tasks)
    found: dict[tuple[str, ...], None] = {}
    if pairs or not (sets or members):
        found |= dict.fromkeys(combinations(names, 2))
    if sets is not None:
        if not 2 <= sets <= len(names):
            raise UsageError("sets", f"of {sets} of {len(names)} models", f"give 2 to {len(names)}")
        found |= dict.fromkeys(combinations(names, sets))
    for joined in members:
        given = split_members(joined)
        for label in given:
            if label not in names:
                raise UsageError.unknown("member", label, names)
        if len(set(given)) < max(2, len(given)):
            raise UsageError(
                f"members {joined!r}", "are no set of models", "name two or more, once"
            )
        found[tuple(sorted(given))] = None
    if not found:
        raise UsageError("models", f"{len(names)} given", "give at least two to merge")
    for method in methods:
        for labels in found:
            METHODS.get(method).check_members(labels)
    return [(method, labels) for method in dict.fromkeys(methods) for labels in found]
