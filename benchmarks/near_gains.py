"""What other strengths and weights of the models change, beside what superposition says they do.

python benchmarks/near_gains.py --run DIR [--draws 6] [--first 100] [--size 3] [--samples 480]
    [--method M …] [--rows FILE] --cache DIR
python benchmarks/near_gains.py --rows FILE [FILE …]

DIR is a finished run of a suite. Each draw takes `--size` of its models; merges near the forecast
one of each method, as a search has them (`search/near.py`), are made and asked on the same test
samples: four other strengths, and the weights. The table says by which share of the change that
superposition says the true one follows, by kind of change and sign, and what a chosen change errs
by. Draws are numbered from `--first` on, so that those of `search_near.py` have no part in it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from mergecast.search.merged import MergeJudge
from mergecast.search.near import Near
from mergecast.search.run import Search
from mergecast.suites.folder import read_run
from search_near import searched

METHODS = ("tsv", "isotropic", "ties", "task_arithmetic(scaling=0.7)", "weight_avg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--size", type=int, default=3)
    parser.add_argument("--samples", type=int, default=0, help="calibration samples of a task")
    parser.add_argument("--method", action="append")
    parser.add_argument("--rows", type=Path, nargs="+", help="where the rows are, or go")
    parser.add_argument("--cache", type=Path)
    asked = parser.parse_args()
    asked.budget, asked.workers = 2, 1
    if asked.run is None:
        report(pd.concat([pd.read_csv(path) for path in asked.rows]))
        return
    plan = read_run(asked.run)
    if asked.samples:
        recipe = plan.run.recipe.model_copy(update={"n_calibration": asked.samples})
        plan = replace(plan, run=replace(plan.run, recipe=recipe))
    rows: list[dict[str, Any]] = []
    for seed in range(asked.first, asked.first + asked.draws):
        drawn = np.random.default_rng(seed).choice(plan.tasks, asked.size, replace=False)
        labels = sorted(drawn.tolist())

        class Tried(Search):
            """Makes all merges near those of some methods, in place of searching."""

            def run(self, seed: int = seed) -> None:
                wanted = asked.method or METHODS
                for one in self.pool.priced:
                    if str(one.candidate.method) in wanted:
                        rows.extend({"seed": seed, **row} for row in near_rows(self, one))
                super().run()

        with mock.patch("mergecast.api.search.Search", Tried):
            searched(asked, plan, labels, seed, near=True)
        table = pd.DataFrame(rows).assign(run=asked.run.name)
        if asked.rows:
            table.to_csv(asked.rows[0], index=False, float_format="%.5f")
        print(f"{len(table)} merges after {seed - asked.first + 1} draws", flush=True)
    report(table)


def near_rows(search: Search, priced: Any) -> list[dict[str, Any]]:
    """Merges near one: what superposition says that they change, and what they change."""
    judge, near = search.judge, search.refine
    assert isinstance(judge, MergeJudge)
    assert isinstance(near, Near)
    members = priced.candidate.members
    value = search.objective.value
    now = judge.verify(priced.candidate)
    found = []
    for one in near(priced):
        recipe = one.candidate.recipe
        weighted = bool(recipe.weights)
        strength, usual = recipe.strength, priced.candidate.recipe.strength
        factor = strength / usual if strength and usual else 1.0
        if not weighted and round(factor, 2) not in (0.6, 0.75, 1.35, 1.7):
            continue
        seen = judge.verify(one.candidate)
        found.append(
            {
                "members": "+".join(members),
                "method": priced.candidate.method,
                "kind": ("both" if factor != 1 else "weights") if weighted else "strength",
                "factor": factor,
                "told": float(value(members, one.kept) - value(members, priced.kept)),
                "error": float(np.sqrt((one.sd**2).mean() - (priced.sd**2).mean())),
                "true": float(value(members, seen.kept) - value(members, now.kept)),
            }
        )
    return found


def report(rows: pd.DataFrame) -> None:
    """Shares that are true, and errors, by kind and by what is said."""
    signed = rows.assign(says=np.where(rows["told"] > 0, "more", "less"))
    for keys in (["run", "kind", "says"], ["run", "method", "kind"]):
        found = []
        for names, some in signed.groupby(keys):
            told, true = some["told"], some["true"]
            share = float(told @ true / max(told @ told, 1e-12))
            off = float(np.sqrt(((true - told) ** 2).mean()))
            found.append(
                dict(zip(keys, names, strict=True))
                | {"n": len(some), "told": told.mean(), "true": true.mean()}
                | {"share": share, "off": off, "off a share": off / told.abs().mean()}
            )
        print(pd.DataFrame(found).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
