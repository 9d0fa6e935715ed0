"""Measure the sets of a suite that its table lacks, by models that are tuned again.

python benchmarks/sets_again.py --table FOLDER --run DIR [--sets N] [--write]

FOLDER is a measured table under src/mergecast/data/measured/, DIR a run folder whose models
`benchmarks/columns_again.py --tune` has tuned. Sets that the suite's command draws today, N of each
size or as many as it drew, and the table does not have, are merged by all its recipes and
evaluated; what was measured stays as it is. `--write` adds them to the table, to its outcomes and,
where it has them, to the scores of samples. Their own scores stand beside theirs: those of the
models tuned again.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mergecast.runtime.progress import Silent
from mergecast.runtime.workers import Workers
from mergecast.suites.folder import read_run, write_run
from mergecast.suites.run import finished, models_of
from mergecast.suites.tables import outcomes_table, samples_path, samples_table
from mergecast.tables.io import read_table, write_table
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.sets import join_members

WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--sets", type=int, metavar="N", help="random sets of each size")
    parser.add_argument("--write", action="store_true", help="add the sets to the table")
    asked = parser.parse_args()
    listed = read_run(asked.table)
    listed = replace(listed, n_sets=listed.n_sets if asked.sets is None else asked.sets)
    plan = replace(listed, run=replace(listed.run, folder=asked.run))
    before = OutcomeTable.read(asked.table / "outcomes.parquet")
    known = {*before.frame["members"]}
    sets = [one for one in plan.sets if join_members(one[1]) not in known]
    if not sets:
        parser.error(f"the table has all sets that its suite draws: {plan.n_sets} of each size")
    with Workers(WORKERS) as pool:
        base, models, singles = models_of(plan, pool, Silent())
        units = plan.outcome_units(sets, base, models)
        records = finished("merge sets", units, pool=pool, progress=Silent())
    by_task = dict(zip(plan.tasks, singles, strict=True))
    made = [(unit.how, unit.members) for unit in units]
    new = outcomes_table(
        made,
        records,
        by_task,
        suite=plan.run.label,
        versions=plan.stages(),
        recipe=before.recipe,
    )
    print(f"{new.frame['members'].nunique()} sets, {len(new.frame)} rows, mean retention:")
    sized = new.frame.assign(size=new.frame["members"].str.count(r"\+") + 1)
    print(sized.pivot_table("retention", "recipe", "size").round(4).to_string())
    if asked.write:
        OutcomeTable.concat([before, new]).write(asked.table / "outcomes.parquet")
        path = samples_path(asked.table / "outcomes.parquet")
        if path.exists():
            samples, metadata = read_table(path, ())
            more = samples_table(made, records, by_task, suite=plan.run.label)
            write_table(pd.concat([samples, more], ignore_index=True), path, metadata)
        write_run(replace(listed, run=replace(listed.run, folder=asked.table)))


if __name__ == "__main__":
    main()
