"""Which merges a run makes: all pairs, and random larger sets, the same for every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb

from mergecast.merging import METHODS
from mergecast.runtime.seeds import derived_seed
from mergecast.suites.folder import RunPlan
from mergecast.suites.units import OutcomeUnit

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


def pair_units(plan: RunPlan, base: str, models: Mapping[str, str]) -> list[OutcomeUnit]:
    """Every method and pair of the models there are; `base` and `models` are digests."""
    pairs = list(combinations(sorted(models), 2))
    merges = [(method, pair) for method in plan.methods for pair in pairs]
    return _outcome_units(plan, base, models, merges)


def set_units(plan: RunPlan, base: str, models: Mapping[str, str]) -> list[OutcomeUnit]:
    """The run's larger sets whose models are all there."""
    merges = [
        (method, members) for method, members in set_merges(plan) if models.keys() >= {*members}
    ]
    return _outcome_units(plan, base, models, merges)


def set_merges(plan: RunPlan) -> list[tuple[str, tuple[str, ...]]]:
    """Methods with the larger sets that each of them takes, as some merge two models alone."""
    sets = random_sets(plan.tasks, plan.n_sets, plan.run.seed)
    most = {method: METHODS.get(method).max_members for method in plan.methods}
    return [
        (method, members)
        for method, limit in most.items()
        for members in sets
        if limit is None or len(members) <= limit
    ]


def _outcome_units(
    plan: RunPlan,
    base: str,
    models: Mapping[str, str],
    merges: Sequence[tuple[str, tuple[str, ...]]],
) -> list[OutcomeUnit]:
    return [
        OutcomeUnit(plan.run, method, members, base, tuple(models[task] for task in members))
        for method, members in merges
    ]
