"""The pair table of a run: metrics of all pairs up to the run's tier of evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mergecast.runtime.progress import Progress
from mergecast.runtime.workers import one_thread
from mergecast.suites.folder import RunFile
from mergecast.suites.units import BASE_FILE, model_file

if TYPE_CHECKING:
    import pandas as pd

CALIBRATION = 100
"""Calibration samples a task, where its split has so many: a mean probability needs more of them
than a mean activation, and forecasts from retention still got better from 40 to here."""

METRICS = "all"
"""The set of metrics in a run's table: gradient interference is among them, since such tables are
what decides whether it is worth its cost."""

Records = Mapping[str, Mapping[str, Any]]


def pairs_spec(plan: RunFile, base: Mapping[str, Any], models: Records) -> dict[str, object]:
    """What the table is stored under; `base` and `models` are the records of their units."""
    from mergecast.evidence import table_stage

    digests = {task: record["sha256"] for task, record in models.items()}
    samples = _samples(plan) if plan.tier != "weights" else 0
    return plan.run.spec(
        "pairs",
        made_by=table_stage(plan.tier, METRICS).key,
        tier=plan.tier,
        calibration=samples,
        base=base["sha256"],
        models=digests,
    )


def pair_table(
    plan: RunFile, base: Mapping[str, Any], models: Records, workers: int, progress: Progress
) -> pd.DataFrame:
    """The pair table, from the store when these very models have been measured before."""
    import pandas as pd

    store, spec = plan.run.store, pairs_spec(plan, base, models)
    kept = f"units/{store.key(spec)}.parquet"
    if store.get(spec) is None:
        with one_thread():
            table = _measured(plan, workers, progress)
        store.put_file(spec, kept, lambda path: table.to_parquet(path, index=False), {})
    return pd.read_parquet(plan.run.folder / kept)


def _samples(plan: RunFile) -> int:
    """As many as `CALIBRATION`, or as the smallest calibration split of the tasks holds."""
    suite, recipe = plan.run.suite, plan.run.recipe
    held = (suite.task_size(recipe, task).n_calibration for task in plan.tasks)
    return min(CALIBRATION, *held)


def _measured(plan: RunFile, workers: int, progress: Progress) -> pd.DataFrame:
    """Masks are drawn as in the run's own merges; an interrupted probe goes on where it was."""
    from mergecast.evidence import MergeSettings, ProbeSettings, compute_metrics
    from mergecast.family import Family

    run = plan.run
    models = {task: run.folder / model_file(task) for task in plan.tasks}
    family = Family.open(run.folder / BASE_FILE, models)
    if plan.tier == "weights":
        return compute_metrics(family, suite=run.suite_name, workers=workers, progress=progress)
    return compute_metrics(
        family,
        metric_set=METRICS,
        tasks={task: run.suite.task(run.recipe, task) for task in plan.tasks},
        tier=plan.tier,
        settings=ProbeSettings(_samples(plan), run.seed, cache=run.folder / "units" / "probes"),
        merges=MergeSettings(merge_seed=run.seed, params=run.recipe.merging),
        suite=run.suite_name,
        workers=workers,
        progress=progress,
    )
