"""The pair table of a run: metrics of all pairs up to the run's tier of evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mergecast.evidence.settings import CALIBRATION, MergeSettings
from mergecast.runtime.progress import Progress, Silent
from mergecast.runtime.stage import Stage
from mergecast.runtime.workers import one_thread
from mergecast.suites.plan import Digests, RunPlan
from mergecast.suites.units import BASE, BASE_FILE, FINE_TUNE, model_file

if TYPE_CHECKING:
    from mergecast.evidence.session import Session
    from mergecast.tables.pairs import PairTable

METRICS = "all"
"""The set of metrics in a run's table: gradient interference is among them, since such tables are
what decides whether it is worth its cost."""

#: The pair table of a run.
PAIRS = Stage("pairs", 2, uses=(BASE, FINE_TUNE), modules=("mergecast.suites.pair_table",))


def pairs_versions(plan: RunPlan) -> dict[str, int]:
    """Every stage that the table is made by, that of the suite among them, with its version."""
    return _stage(plan).with_uses(plan.run.suite.stage).versions()


def _stage(plan: RunPlan) -> Stage:
    from mergecast.evidence import table_stage

    return PAIRS.with_uses(table_stage(plan.tier, METRICS, _methods(plan)))


def pairs_spec(plan: RunPlan, base: str, models: Digests) -> dict[str, object]:
    """What the table is stored under; `base` and `models` are digests."""
    recipe = plan.run.recipe.model_dump(mode="json", include={"merging", "reestimate_batchnorm"})
    samples = CALIBRATION if plan.tier != "weights" else 0
    asked = {"tier": plan.tier, "calibration": samples, "base": base, "models": dict(models)}
    told: dict[str, object] = {"recipes": names} if (names := _recipes(plan)) else {}
    return plan.run.spec(_stage(plan), plan.tasks, **asked, **recipe, **told)


def _recipes(plan: RunPlan) -> list[str]:
    """What the run merges by beside the usual methods as they are, of any models."""
    from mergecast.merging.method import usual_methods

    usual = usual_methods()
    return sorted(one.label for one in plan.recipes if one.label not in usual and not one.models)


def _methods(plan: RunPlan) -> tuple[str, ...]:
    """What the table's metrics are about: the usual methods, and the run's own recipes."""
    from mergecast.merging.method import usual_methods

    return (*usual_methods(), *(str(one) for one in plan.recipes if one.label in _recipes(plan)))


def pair_table(
    plan: RunPlan, base: str, models: Digests, workers: int, progress: Progress
) -> PairTable:
    """The pair table, from the store when these very models have been measured before."""
    from mergecast.tables.pairs import PairTable

    store, spec = plan.run.store, pairs_spec(plan, base, models)
    path = f"units/{store.key(spec)}.parquet"
    if store.get(spec) is None:
        with one_thread():
            table = columns_anew(plan, None, workers, progress)
        store.put_file(spec, path, table.write, {})
    return PairTable.read(plan.run.folder / path)


def session_of_run(
    plan: RunPlan,
    methods: Sequence[str],
    workers: int = 1,
    progress: Progress | None = None,
) -> Session:
    """A finished run's models and calibration samples, merged by some methods as the run does.

    Masks are drawn as in the run's own merges; an interrupted probe goes on where it was. A task
    with fewer calibration samples than usual gives what it has.
    """
    from mergecast.evidence import ProbeSettings, Session
    from mergecast.family import Family

    run = plan.run
    tasks = {name: run.task(name) for name in plan.tasks}
    family = Family.open(
        run.folder / BASE_FILE,
        {name: run.folder / model_file(name) for name in plan.tasks},
        private=sorted({pattern for task in tasks.values() for pattern in task.private}),
    )
    settings = ProbeSettings(seed=run.seed, cache=run.folder / "units" / "probes")
    merges = MergeSettings(
        methods=tuple(methods),
        merge_seed=run.seed,
        params=run.recipe.merging,
        reestimate_batchnorm=run.recipe.reestimate_batchnorm,
    )
    return Session(family, tasks, settings, merges, workers, progress=progress or Silent())


def columns_anew(
    plan: RunPlan, keys: Sequence[str] | None, workers: int = 1, progress: Progress | None = None
) -> PairTable:
    """Metrics of all pairs of a run's models, some by key or all of the run's tier."""
    from mergecast.evidence import collect_evidence

    with session_of_run(plan, _methods(plan), workers, progress) as session:
        table = collect_evidence(session, plan.tier, METRICS, keys).table(
            session.family.names, plan.run.label
        )
    recipe = {**table.recipe, "suite": plan.run.recipe.model_dump(mode="json")}
    return replace(table, versions=pairs_versions(plan), recipe=recipe)
