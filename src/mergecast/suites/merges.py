"""Which merges a run makes: all pairs, and random larger sets, the same for every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Any

from mergecast.runtime.seeds import derived_seed
from mergecast.suites.folder import RunFile
from mergecast.suites.units import OutcomeUnit

SIZES = (3, 4, 5)
"""Numbers of members of the sets that a suite measures beside its pairs."""

SETS = 20
"""Sets of each size by default: on ``digits-14`` they take about as long as all pairs."""


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


def pair_units(
    plan: RunFile, base: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]
) -> list[OutcomeUnit]:
    """Every method and pair of the models there are, tasks sorted."""
    pairs = list(combinations(sorted(models), 2))
    merges = [(method, pair) for method in plan.methods for pair in pairs]
    return _outcome_units(plan, base, models, merges)


def set_units(
    plan: RunFile, base: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]
) -> list[OutcomeUnit]:
    """The run's larger sets whose models are all there."""
    merges = [
        (method, members) for method, members in set_merges(plan) if models.keys() >= {*members}
    ]
    return _outcome_units(plan, base, models, merges)


def set_merges(plan: RunFile) -> list[tuple[str, tuple[str, ...]]]:
    """Methods with the larger sets that each of them takes, as some merge two models alone."""
    from mergecast.merging import METHODS

    chosen = random_sets(plan.tasks, plan.sets, plan.run.seed)
    most = {method: METHODS.get(method).max_members for method in plan.methods}
    return [
        (method, members)
        for method, limit in most.items()
        for members in chosen
        if limit is None or len(members) <= limit
    ]


def _outcome_units(
    plan: RunFile,
    base: Mapping[str, Any],
    models: Mapping[str, Mapping[str, Any]],
    merges: Sequence[tuple[str, tuple[str, ...]]],
) -> list[OutcomeUnit]:
    return [
        OutcomeUnit(
            plan.run,
            method,
            members,
            base["sha256"],
            tuple(models[task]["sha256"] for task in members),
        )
        for method, members in merges
    ]
