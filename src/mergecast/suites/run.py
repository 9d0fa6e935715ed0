"""Run a suite in a folder: pre-train, fine-tune, merge pairs and sets, evaluate, write tables."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mergecast.errors import ResourceError, UsageError
from mergecast.merging import METHODS
from mergecast.runtime.least import at_least
from mergecast.runtime.lock import folder_lock
from mergecast.runtime.progress import Progress, Silent
from mergecast.runtime.workers import Workers
from mergecast.suites.folder import write_run
from mergecast.suites.merges import N_SETS, Recipes, check_members, listed_recipes
from mergecast.suites.named import asked_suite
from mergecast.suites.pair_table import pair_table
from mergecast.suites.plan import RunPlan
from mergecast.suites.suite import Recipe
from mergecast.suites.tables import outcomes_table, samples_path, samples_table, tasks_table
from mergecast.suites.units import BaseUnit, OutcomeUnit, Run, Unit, compute
from mergecast.tables.io import write_table
from mergecast.tables.tiers import known_tier
from mergecast.typing import Names, listed

log = logging.getLogger(__name__)


def run_suite(
    name: str | Path,
    out: str | Path,
    *,
    only: Sequence[str] | None = None,
    methods: Names | None = None,
    recipes: Recipes | None = None,
    n_sets: int = N_SETS,
    tier: str | None = None,
    recipe: Recipe | None = None,
    backbone: str = "",
    suite_params: Mapping[str, object] | None = None,
    seed: int = 0,
    workers: int = 2,
    progress: Progress | None = None,
) -> Path:
    """Run the suite `name` in the folder `out`, going on from whatever is finished there.

    Parameters
    ----------
    name : str or Path
        A name in `SUITES`, or a YAML file that describes a suite.
    out : str or Path
        The run folder.
    only : sequence of str, optional
        A cut of the suite's tasks, at least two; all by default. The order does not matter.
    methods : str or sequence of str, optional
        Merging methods by name; the six of the suites where no recipes are given either.
    recipes : str, Recipe, mapping or sequence of them, optional
        Whole recipes beside the methods, as ``ties(density=0.5, scaling=1)``. One that has weights
        or values of models merges the set of these models alone.
    n_sets : int
        Random sets of each of 3 to 6 models that are merged beside all pairs, the same for
        every method that takes so many; fewer where there are fewer, 0 for pairs alone.
    tier : str, optional
        Evidence in the pair table, on up to 100 samples a task above ``weights``; ``gradients`` by
        default.
    recipe : Recipe, optional
        Of the suite's own type; its defaults otherwise.
    backbone : str
        The encoder, where the suite has several and no recipe is given.
    suite_params : mapping of str to object, optional
        Fields of the recipe that differ from its defaults, where none is given.
    seed : int
        Of all training and of random masks.
    workers : int
        Processes with one thread each. The tables do not depend on it.
    progress : Progress, optional
        Where stages are reported.

    Returns
    -------
    Path
        The folder, with ``base.safetensors``, ``models/<task>.safetensors``, ``tasks.parquet``,
        ``outcomes.parquet``, ``outcomes.samples.parquet`` with the score of every test sample,
        ``pairs.parquet`` and ``suite.json``.

    Raises
    ------
    UsageError
        An unknown suite, task or method, what is no recipe, a negative number of sets, or a folder
        that holds another suite, recipe or seed, or a run of an earlier version.
    UndefinedError
        A fine-tuned model has no score, so that there is nothing to retain.
    ResourceError
        Another process works in the folder, it cannot be written, or a worker was killed.

    Examples
    --------
    >>> run_suite("digits-14", "runs/digits", only=["upright", "parity"])  # doctest: +SKIP
    """
    settings = {**(suite_params or {}), **({"backbone": backbone} if backbone else {})}
    run, tasks = _run_of(name, Path(out), only, seed, recipe, settings)
    if n_sets < 0:
        raise UsageError("n_sets", f"is {n_sets}", "name a number of sets of each size, 0 for none")
    chosen = _checked_recipes(methods, recipes, run, tasks)
    plan = RunPlan(run, tasks, chosen, known_tier(tier or "gradients"), n_sets)
    progress = progress or Silent()
    with folder_lock(run.folder), Workers(workers) as pool:
        write_run(plan)
        run.store.clean()
        finish = partial(finished, pool=pool, progress=progress)
        base, models, singles = models_of(plan, pool, progress)
        merges = plan.outcome_units(plan.pairs, base, models)
        records = finish("merge and evaluate", merges)
        larger = plan.outcome_units(plan.sets, base, models)
        if larger:
            records += finish("merge sets of 3 to 6", larger)
        _write_tables(plan, singles, [*merges, *larger], records)
        pair_table(plan, base, models, workers, progress).write(run.folder / "pairs.parquet")
    return run.folder


def models_of(
    plan: RunPlan, pool: Workers, progress: Progress
) -> tuple[str, dict[str, str], list[dict[str, Any]]]:
    """The base's digest, every model's, and their evaluations, made where they are not there yet.

    Raises ResourceError where a finished unit cannot be read back.
    """
    finish = partial(finished, pool=pool, progress=progress)
    [made] = finish("pre-train", [BaseUnit(plan.run)])
    base = made["sha256"]
    models = plan.digests(finish("fine-tune", plan.model_units(base)))
    return base, models, finish("evaluate", plan.single_units(base, models))


def _run_of(
    name: str | Path,
    out: Path,
    only: Sequence[str] | None,
    seed: int,
    recipe: Recipe | None,
    settings: Mapping[str, object],
) -> tuple[Run, tuple[str, ...]]:
    """The run and its tasks, sorted, checked before hours are spent."""
    at_least(0, seed=seed)
    suite, recipe = asked_suite(name, recipe, settings)
    known = suite.names(recipe)
    tasks = tuple(sorted(known if only is None else only))
    for task in tasks:
        if task not in known:
            raise UsageError.unknown("task", task, known)
    if len(set(tasks)) != len(tasks) or len(tasks) < 2:
        raise UsageError("tasks", f"are {list(tasks)}", "name at least two, each once")
    suite.check(recipe)
    return Run(out, suite.name, recipe, seed), tasks


def _checked_recipes(
    methods: Names | None, recipes: Recipes | None, run: Run, tasks: Sequence[str]
) -> tuple[str, ...]:
    """A plan's methods, after checking all that merges are told before hours are spent."""
    for method, params in run.recipe.merging.items():
        METHODS.get(method).validate(params)
    whole = listed_recipes(recipes)
    names = list(run.suite.recipes) if methods is None and not whole else listed(methods)
    if len(set(names)) != len(names) or not (names or whole):
        raise UsageError("methods", f"are {names}", "name at least one, each once")
    found = {run.merging(name).label: name for name in names}
    for recipe in whole:
        if recipe.seed:
            raise UsageError(f"recipe {recipe}", "has a seed", "leave it out: the run has one")
        if recipe.models:
            check_members(recipe, recipe.models, tasks)
        found.setdefault(recipe.label, str(recipe))
    return tuple(found.values())


def finished(
    stage: str, units: Sequence[Unit], *, pool: Workers, progress: Progress
) -> list[dict[str, Any]]:
    """The stored results of units, in their order, after computing those that were not there.

    Raises ResourceError where a finished unit cannot be read back.
    """
    stored = [unit.run.store.get(unit.spec) for unit in units]
    todo = [unit for unit, result in zip(units, stored, strict=True) if result is None]
    advance = progress.stage(stage, len(units), len(units) - len(todo))
    pool.map(compute, todo, advance)
    results = []
    for unit, result in zip(units, stored, strict=True):
        final = unit.run.store.get(unit.spec) if result is None else result
        if final is None:
            raise ResourceError(
                unit.run.folder,
                f"a finished unit of stage {stage!r} cannot be read back",
                "check the disk, then run again",
            )
        results.append(final)
    return results


def _write_tables(
    plan: RunPlan,
    singles: Sequence[Mapping[str, Any]],
    merges: Sequence[OutcomeUnit],
    records: Sequence[Mapping[str, Any]],
) -> None:
    by_task = dict(zip(plan.tasks, singles, strict=True))
    write_table(tasks_table(by_task), plan.run.folder / "tasks.parquet")
    run, made = plan.run, [(unit.how, unit.members) for unit in merges]
    outcomes = outcomes_table(
        made,
        records,
        by_task,
        suite=run.label,
        versions=plan.stages(),
        recipe={"suite": run.recipe.model_dump(mode="json")},
    )
    for m in outcomes.missing:
        if m.column == "retention":
            log.warning("%s of %s has no score on %s: %s", m.recipe, m.members, m.task, m.reason)
    samples = samples_table(made, records, by_task, suite=run.label)
    write_table(samples, samples_path(run.folder / "outcomes.parquet"))
    outcomes.write(run.folder / "outcomes.parquet")
