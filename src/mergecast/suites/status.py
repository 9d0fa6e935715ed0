"""How much of a run is finished."""

from __future__ import annotations

from pathlib import Path

from mergecast.errors import UsageError
from mergecast.suites.folder import read_run
from mergecast.suites.named import asked_suite
from mergecast.suites.pair_table import pairs_spec
from mergecast.suites.units import BaseUnit


def suite_status(out: str | Path, name: str | None = None) -> dict[str, tuple[int, int]]:
    """Units (done, total) of each stage of the run in `out`; reads only.

    Parameters
    ----------
    out : str or Path
        The run folder.
    name : str, optional
        The suite that it should hold.

    Returns
    -------
    dict
        ``base``, ``models`` (fine-tuned and evaluated), ``outcomes`` of pairs, ``sets`` and
        ``pairs`` to (done, total).

    Raises
    ------
    UsageError
        The folder holds no run, one of another suite, or one of an earlier version.
    """
    plan = read_run(Path(out), unfinished=True)
    if name is not None and asked_suite(name)[0].name != plan.run.suite_name:
        raise UsageError(out, f"holds a run of {plan.run.suite_name}, not {name}", "name that one")
    store = plan.run.store
    status = {
        "base": (0, 1),
        "models": (0, len(plan.tasks)),
        "outcomes": (0, len(plan.pairs)),
        "sets": (0, len(plan.sets)),
        "pairs": (0, 1),
    }
    made = store.get(BaseUnit(plan.run).spec)
    if made is None:
        return status
    base = made["sha256"]
    models = plan.digests([store.get(unit.spec) for unit in plan.model_units(base)])
    specs = {
        "base": [BaseUnit(plan.run).spec],
        "models": [unit.spec for unit in plan.single_units(base, models)],
        "outcomes": [unit.spec for unit in plan.outcome_units(plan.pairs, base, models)],
        "sets": [unit.spec for unit in plan.outcome_units(plan.sets, base, models)],
    }
    if len(models) == len(plan.tasks):
        specs["pairs"] = [pairs_spec(plan, base, models)]
    for stage, wanted in specs.items():
        done = sum(store.get(spec) is not None for spec in wanted)
        status[stage] = (done, status[stage][1])
    return status
