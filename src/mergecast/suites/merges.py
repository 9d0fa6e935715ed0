"""Which merges a run makes: all pairs, and random larger sets, the same for every method."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

from mergecast.merging import METHODS
from mergecast.runtime.seeds import derived_seed

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
