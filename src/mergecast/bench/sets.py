"""Which sets of three and more models a suite merges: random ones, the same for every method."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

from mergecast.runtime.seeds import derived_seed

SIZES = (3, 4, 5)
"""Numbers of members of the sets that a suite measures beside its pairs."""

SETS = 20
"""Sets of each size by default: on ``digits-14`` two thirds of the merges that its pairs take."""


def random_sets(tasks: Sequence[str], count: int, seed: int) -> list[tuple[str, ...]]:
    """Distinct random sets of `tasks`, `count` of each size in `SIZES`, smaller sizes first.

    A draw takes the k tasks of lowest hash, so the sets depend on names and seed alone, on no
    library's generator, and more of them continue the list: a run grows without losing any.

    Parameters
    ----------
    tasks : names, in any order.
    count : sets of each size; where there are no more than that, all of them are taken.
    seed : of the run.

    Returns
    -------
    Sets as sorted tuples.
    """
    names = sorted(tasks)
    found: list[tuple[str, ...]] = []
    for size in SIZES:
        if count >= comb(len(names), size):
            found += combinations(names, size)
            continue
        drawn: dict[tuple[str, ...], None] = {}
        draw = 0
        while len(drawn) < count:
            order = sorted(names, key=lambda name: derived_seed(seed, "set", size, draw, name))
            drawn[tuple(sorted(order[:size]))] = None
            draw += 1
        found += drawn
    return found
