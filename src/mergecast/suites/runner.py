"""Run a suite in a folder: pre-train, fine-tune, merge pairs and sets, evaluate, write tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mergecast.errors import ResourceError, UsageError
from mergecast.runtime.lock import folder_lock
from mergecast.runtime.progress import Progress, Silent
from mergecast.runtime.workers import Workers
from mergecast.suites.folder import RunFile, read_run, write_run
from mergecast.suites.merges import SETS, pair_units, set_merges, set_units
from mergecast.suites.pair_table import pair_table, pairs_spec
from mergecast.suites.registered import open_suite
from mergecast.suites.suite import Recipe
from mergecast.suites.tables import outcomes_table, tasks_table
from mergecast.suites.units import BaseUnit, ModelUnit, Run, Unit, compute
from mergecast.tables.io import write_table
from mergecast.tables.tiers import known_tier

log = logging.getLogger(__name__)

SIX = ("weight_avg", "task_arithmetic", "ties", "dare", "tsv", "isotropic")
"""The merging methods of the suites, in the order of the tables."""


def run_suite(
    name: str,
    out: str | Path,
    *,
    tasks: Sequence[str] | None = None,
    methods: Sequence[str] = SIX,
    seed: int = 0,
    workers: int = 2,
    recipe: Recipe | None = None,
    tier: str = "gradients",
    sets: int = SETS,
    progress: Progress | None = None,
) -> Path:
    """Run the suite `name` in the folder `out`, going on from whatever is finished there.

    Parameters
    ----------
    tasks : a cut of the suite's tasks, at least two; all by default. The order does not matter.
    methods : merging methods by name.
    recipe : the suite's own recipe type; its defaults when None.
    tier : evidence in the pair table, on up to 100 samples a task above ``weights``.
    sets : random sets of each of 3, 4 and 5 models that are merged beside all pairs, the same for
        every method that takes so many; fewer where there are fewer, 0 for pairs alone.
    workers : processes with one thread each. The tables do not depend on it.

    Returns
    -------
    The folder, with ``base.safetensors``, ``models/<task>.safetensors``, ``tasks.parquet``,
    ``outcomes.parquet``, ``pairs.parquet`` and ``suite.json``.

    Raises
    ------
    UsageError
        An unknown suite, task or method, a negative number of sets, or a folder that holds
        another suite, recipe or seed.
    ResourceError
        Another process works in the folder, it cannot be written, or a worker was killed.

    Examples
    --------
    >>> run_suite("digits-14", "runs/digits", tasks=["upright", "parity"])  # doctest: +SKIP
    """
    run, chosen = _plan(name, Path(out), tasks, seed, recipe)
    evidence = known_tier(tier)
    if sets < 0:
        raise UsageError("sets", f"is {sets}", "name a number of sets of each size, 0 for none")
    if evidence != "weights":
        run.suite.task(run.recipe, chosen[0])  # a suite without probes says so before hours of work
    plan = RunFile(run, chosen, _known_methods(methods, run.recipe), evidence, sets)
    progress = progress or Silent()
    with folder_lock(run.folder), Workers(workers) as pool:
        write_run(plan)
        run.store.clean()
        [base] = _finish("pre-train", [BaseUnit(run)], pool, progress)
        model_units = _model_units(plan, base)
        models = dict(zip(chosen, _finish("fine-tune", model_units, pool, progress), strict=True))
        merges = pair_units(plan, base, models)
        outcomes = _finish("merge and evaluate", merges, pool, progress)
        larger = set_units(plan, base, models)
        if larger:
            outcomes += _finish("merge sets of 3 to 5", larger, pool, progress)
        write_table(tasks_table(models), run.folder / "tasks.parquet")
        table = outcomes_table([*merges, *larger], outcomes, models)
        for m in table.missing:
            log.warning("%s of %s has no score on %s: %s", m.method, m.members, m.task, m.reason)
        table.write(run.folder / "outcomes.parquet")
        pair_table(plan, base, models, workers, progress).write(run.folder / "pairs.parquet")
    return run.folder


def suite_status(out: str | Path, name: str | None = None) -> dict[str, tuple[int, int]]:
    """Units (done, total) of each stage of the run in `out`; reads only.

    Raises UsageError when the folder holds no run, or one of another suite than `name`.
    """
    plan = read_run(Path(out))
    if name is not None and open_suite(name).name != plan.run.suite_name:
        raise UsageError(out, f"holds a run of {plan.run.suite_name}, not {name}", "name that one")
    store = plan.run.store
    base = store.get(BaseUnit(plan.run).spec)
    status = {
        "base": (int(base is not None), 1),
        "models": (0, len(plan.tasks)),
        "outcomes": (0, len(plan.methods) * len(plan.tasks) * (len(plan.tasks) - 1) // 2),
        "sets": (0, len(set_merges(plan))),
        "pairs": (0, 1),
    }
    if base is None:
        return status
    found = {unit.task: store.get(unit.spec) for unit in _model_units(plan, base)}
    models = {task: record for task, record in found.items() if record is not None}
    status["models"] = (len(models), len(plan.tasks))
    for stage, units in (
        ("outcomes", pair_units(plan, base, models)),
        ("sets", set_units(plan, base, models)),
    ):
        done = sum(store.get(unit.spec) is not None for unit in units)
        status[stage] = (done, status[stage][1])
    if len(models) == len(plan.tasks):
        pairs = store.get(pairs_spec(plan, base, models))
        status["pairs"] = (int(pairs is not None), 1)
    return status


def _plan(
    name: str, out: Path, tasks: Sequence[str] | None, seed: int, recipe: Recipe | None
) -> tuple[Run, tuple[str, ...]]:
    suite = open_suite(name)
    chosen = tuple(sorted(suite.tasks if tasks is None else tasks))
    for task in chosen:
        if task not in suite.tasks:
            raise UsageError.unknown("task", task, suite.tasks)
    if len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise UsageError("tasks", f"are {list(chosen)}", "name at least two, each once")
    if recipe is None:
        recipe = suite.recipe_type()
    elif not isinstance(recipe, suite.recipe_type):
        raise UsageError(
            "recipe", f"is a {type(recipe).__name__}", f"{name} takes {suite.recipe_type.__name__}"
        )
    return Run(out, name, recipe, seed), chosen


def _known_methods(methods: Sequence[str], recipe: Recipe) -> tuple[str, ...]:
    """The methods, after checking them and the recipe's parameters before hours are spent."""
    from mergecast.merging import METHODS

    for method in {**dict.fromkeys(methods), **recipe.merging}:
        METHODS.get(method).validate(recipe.merging.get(method))
    if len(set(methods)) != len(methods) or not methods:
        raise UsageError("methods", f"are {list(methods)}", "name at least one, each once")
    return tuple(methods)


def _finish(
    stage: str, units: Sequence[Unit], pool: Workers, progress: Progress
) -> list[dict[str, Any]]:
    """The stored results of `units`, after computing those that were not there."""
    found = [unit.run.store.get(unit.spec) for unit in units]
    todo = [unit for unit, result in zip(units, found, strict=True) if result is None]
    advance = progress.stage(stage, len(units), len(units) - len(todo))
    pool.map(compute, todo, advance)
    results = []
    for unit, result in zip(units, found, strict=True):
        final = unit.run.store.get(unit.spec) if result is None else result
        if final is None:
            raise ResourceError(
                unit.run.folder,
                f"a finished unit of stage {stage!r} cannot be read back",
                "check the disk, then run again",
            )
        results.append(final)
    return results


def _model_units(plan: RunFile, base: dict[str, Any]) -> list[ModelUnit]:
    return [ModelUnit(plan.run, task, base["sha256"]) for task in plan.tasks]
