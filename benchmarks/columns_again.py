"""Make columns of a measured table anew, from models that are tuned again.

python benchmarks/columns_again.py --table FOLDER --run DIR [--tune] [--write]

What a kind of evidence says changes with its stage's version; merges that were measured do not.
FOLDER is a measured table under src/mergecast/data/measured/, DIR a run folder that this command
begins or goes on with. Its models are tuned as `suite.json` of FOLDER says, and evaluated; how far
their scores lie from the table's is printed. Then every metric of retention alone and of
superposition is measured anew, and how far each kind's columns moved is printed. `--tune` stops
before them. `--write` puts them into FOLDER, with the versions of today.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mergecast.errors import UsageError
from mergecast.evidence import EVIDENCE
from mergecast.evidence.metric import ALL, METRICS, metric_specs
from mergecast.runtime.progress import Silent
from mergecast.runtime.workers import Workers, one_thread
from mergecast.suites.folder import read_run, write_run
from mergecast.suites.pair_table import columns_anew
from mergecast.suites.plan import RunPlan
from mergecast.suites.run import models_of
from mergecast.tables.columns import Column
from mergecast.tables.pairs import PAIR_KEYS, PairTable

#: The kinds of evidence that compare a merge's answers with the fine-tuned model's.
KINDS = ("retention", "superposition")
WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--tune", action="store_true", help="tune and evaluate the models only")
    parser.add_argument("--write", action="store_true", help="put the columns into the table")
    asked = parser.parse_args()
    listed = read_run(asked.table)
    plan = replace(listed, run=replace(listed.run, folder=asked.run))
    asked.run.mkdir(parents=True, exist_ok=True)
    write_run(plan)
    before = pd.read_parquet(asked.table / "tasks.parquet").set_index("task")["single_score"]
    moved = (tuned(plan) - before).abs().max()
    print(f"{plan.run.label}: scores of models tuned again differ by up to {moved:.4f}", flush=True)
    if asked.tune:
        return
    table = PairTable.read(asked.table / "pairs.parquet")
    keys = [spec.key for spec in metric_specs(ALL) if spec.evidence in KINDS]
    with one_thread():
        new = columns_anew(plan, keys, WORKERS)
    print(differences(table.frame, new.frame).round(4).to_string())
    if asked.write:
        written(table, new).write(asked.table / "pairs.parquet")


def tuned(plan: RunPlan) -> pd.Series:
    """Score of every model on the test samples, after tuning those that are not there yet."""
    with Workers(WORKERS) as pool:
        _, _, singles = models_of(plan, pool, Silent())
    scores = [one["single"]["values"]["score"] for one in singles]
    return pd.Series(scores, index=pd.Index(plan.tasks))


def differences(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """How far the columns of every metric moved: mean and most, and how many values came or went.

    `after` has some of the columns of `before`, for the same pairs.
    """
    moved: dict[str, list[pd.Series]] = {}
    gone: dict[str, int] = {}
    columns = [name for name in after if name not in PAIR_KEYS and name in before]
    old = before[PAIR_KEYS].merge(before, on=PAIR_KEYS, validate="1:1")
    new = before[PAIR_KEYS].merge(after, on=PAIR_KEYS, validate="1:1")
    for name in columns:
        metric = Column.parse(name).name
        moved.setdefault(metric, []).append((new[name] - old[name]).abs())
        gone[metric] = gone.get(metric, 0) + int((new[name].isna() != old[name].isna()).sum())
    every = {metric: pd.concat(values) for metric, values in moved.items()}
    figures = {
        "mean": {k: v.mean() for k, v in every.items()},
        "most": {k: v.max() for k, v in every.items()},
    }
    return pd.DataFrame({**figures, "came or went": gone})


def written(table: PairTable, new: PairTable) -> PairTable:
    """The table with the new columns in their places, and why values of these are missing.

    Raises UsageError where the two have other columns of these kinds of evidence, or where
    columns that are kept were made by another version than today's.
    """
    fresh = set(new.metrics)
    kinds = {name: METRICS.get(Column.parse(name).name).evidence for name in table.metrics}
    remade = {name for name, kind in kinds.items() if kind in KINDS}
    if remade != fresh:
        raise UsageError("columns", f"differ: {sorted(remade ^ fresh)[:5]}", "run the suite again")
    kept = {EVIDENCE.get(kind).collector.STAGE for kind in {*kinds.values()} - {*KINDS}}
    used = {name for stage in kept for name in stage.versions()}
    if old := sorted({*table.stale(new.versions)} & used):
        raise UsageError("kept columns", f"are of other versions of {old}", "run the suite again")
    frame = table.frame[PAIR_KEYS].merge(new.frame, on=PAIR_KEYS, validate="1:1")
    columns = {name: frame[name] if name in fresh else table.frame[name] for name in table.frame}
    missing = [one for one in table.missing if one.key not in fresh]
    return replace(
        table,
        frame=pd.DataFrame(columns),
        missing=(*missing, *new.missing),
        versions={**table.versions, **new.versions},
    )


if __name__ == "__main__":
    main()
