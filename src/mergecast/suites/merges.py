"""Which merges a run makes: all pairs, and random larger sets, the same for every recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import comb
from typing import Any, TypeAlias

from mergecast.errors import UsageError
from mergecast.merging.recipe import Given, Recipe
from mergecast.runtime.seeds import derived_seed
from mergecast.tables.sets import split_members
from mergecast.typing import Names, listed

Merge = tuple[Recipe, tuple[str, ...]]
"""A recipe and the members that it merges, sorted."""

Recipes: TypeAlias = Given | Sequence[Given]
"""Recipes as people give them: a lone one is one of them."""

SIX = ("weight_avg", "task_arithmetic", "ties", "dare", "tsv", "isotropic")
"""The merging methods of the suites, in the order of the tables."""

SIZES = (3, 4, 5, 6)
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


def listed_recipes(recipes: Recipes | None) -> list[Recipe]:
    """Recipes in the order given; none for None."""
    if isinstance(recipes, str | Recipe | Mapping):
        return [Recipe.of(recipes)]
    return [Recipe.of(one) for one in recipes or ()]


def asked_recipes(
    methods: Names | None,
    recipes: Recipes | None,
    params: Mapping[str, Mapping[str, object]] | None,
    seed: int,
) -> list[Recipe]:
    """Methods by name, then recipes, each once; the six of the suites where neither is given.

    Parameters
    ----------
    methods : str or sequence of str, optional
        Names of merging methods.
    recipes : str, Recipe, mapping or sequence of them, optional
        Whole recipes.
    params : mapping of str to mapping, optional
        Parameters of methods asked for by name, where they differ from the defaults.
    seed : int
        Of random masks, where a recipe has none of its own.

    Raises
    ------
    UsageError
        What is no recipe, or parameters of a method that is not asked for by name.
    """
    given = listed_recipes(recipes)
    names = listed(methods) if methods or given else list(SIX)
    for method in params or {}:
        if method not in names:
            raise UsageError(
                f"parameters of {method}",
                "given, but the method is not asked for by its name",
                "add it to the methods, or write a recipe of it with them",
            )
    found = [Recipe.of(name, (params or {}).get(name)) for name in names]
    seeded = [replace(recipe, seed=recipe.seed or seed) for recipe in (*found, *given)]
    return list({(recipe.label, recipe.seed): recipe for recipe in seeded}.values())


def told(recipe: Recipe) -> dict[str, Any]:
    """What a merge by a recipe is stored under, the seed aside."""
    plain = recipe.as_mapping()
    weighted = any(weight != 1 for weight in recipe.weights.values())
    keys = ["method", "params", *(["weights"] if weighted else [])]
    keys += ["by_parameter"] if recipe.by_parameter else []
    return {key: plain[key] for key in keys}


def pair_merges(recipes: Sequence[Recipe], tasks: Sequence[str]) -> list[Merge]:
    """Every pair by every recipe; by one that names its models theirs alone."""
    pairs = list(combinations(sorted(tasks), 2))
    return [(one, pair) for one in recipes for pair in _own(one, pairs) if len(pair) == 2]


def set_merges(
    recipes: Sequence[Recipe], tasks: Sequence[str], n_sets: int, seed: int
) -> list[Merge]:
    """Random larger sets by every recipe whose method takes so many; or those that it names."""
    sets = random_sets(tasks, n_sets, seed)
    most = {one: one.merging_method.max_members for one in recipes}
    return [
        (recipe, members)
        for recipe, limit in most.items()
        for members in _own(recipe, sets)
        if len(members) > 2 and (limit is None or len(members) <= limit)
    ]


def _own(recipe: Recipe, sets: Iterable[tuple[str, ...]]) -> Iterable[tuple[str, ...]]:
    """The set of the models that a recipe names, or all sets where it names none."""
    return [recipe.models] if recipe.models else sets


def asked_merges(
    tasks: Sequence[str],
    recipes: Sequence[Recipe],
    *,
    pairs: bool,
    sets: Iterable[int] = (),
    members: Sequence[str],
) -> list[Merge]:
    """The merges that are asked for, by every recipe, each once, in the order of the recipes.

    A recipe with weights or values of models merges the set of these models alone.

    Parameters
    ----------
    tasks : sequence of str
        Labels of the models that there are.
    recipes : sequence of Recipe
        How they are merged.
    pairs : bool
        All pairs; they are taken too where nothing else is asked for.
    sets : iterable of int
        All sets of so many models, of each size.
    members : sequence of str
        Sets by their members' labels, joined by ``+``.

    Raises
    ------
    UsageError
        An unknown label, a set of fewer than two models or of more than there are, or of more than
        a method merges; sets, where every recipe names its models.
    """
    names, sizes = sorted(tasks), [*sets]
    found = _asked_sets(names, pairs=pairs, sizes=sizes, members=members)
    if (pairs or sizes or members) and all(recipe.models for recipe in recipes):
        raise UsageError(
            "sets of models",
            "asked for, but every recipe names the models that it merges",
            "leave pairs, sets and members out, or add a recipe without weights of models",
        )
    merges = [(recipe, labels) for recipe in recipes for labels in _own(recipe, found)]
    for recipe, labels in merges:
        check_members(recipe, labels, names)
    return merges


def check_members(recipe: Recipe, labels: Sequence[str], names: Sequence[str]) -> None:
    """Raise UsageError where a recipe cannot merge these models, or one is not among `names`."""
    for label in labels:
        if label not in names:
            raise UsageError.unknown(f"model of recipe {recipe}", label, names)
    recipe.check(labels)


def _asked_sets(
    names: Sequence[str], *, pairs: bool, sizes: Sequence[int], members: Sequence[str]
) -> list[tuple[str, ...]]:
    """Sets of sorted names, see `asked_merges`."""
    found: dict[tuple[str, ...], None] = {}
    if pairs or not (sizes or members):
        found |= dict.fromkeys(combinations(names, 2))
    for size in sizes:
        if not 2 <= size <= len(names):
            raise UsageError("sets", f"of {size} of {len(names)} models", f"give 2 to {len(names)}")
        found |= dict.fromkeys(combinations(names, size))
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
    return list(found)
