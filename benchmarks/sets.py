"""How well merges of three to six models follow from their pairs: rules, and what size alone does.

python benchmarks/sets.py --run DIR … [--stand-ins] [--answers [--merged]] [--method M …]
    [--json FILE]

DIR is a finished run with sets. Pairs are measured; forecast with both tasks of each unseen (L2TO);
or forecast with every task of the set unseen. Rules: those of `mergecast.forecast.sets`; `worst`,
the least over partners; and with --stand-ins (minutes: models are merged with 1 to 5 scrambled
copies of themselves) `shifted`, the mean of pairs moved by what a member loses to more stand-ins
than one. With --answers, sets from the members' answers instead, as `forecast --sets` has them:
nothing is fitted, and the up to three sets of a size that are really merged are not scored; with
--merged, all of them merged and asked on the same samples beside it. r and ρ
are means over sizes, per method; then what choosing a method for each set loses by the highest
number and as `forecast` advises, beside the best fixed method.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.retention.collect import collect
from mergecast.evidence.superposition.sets import collect_sets, judged, merged_sets
from mergecast.family import Family
from mergecast.forecast.estimators.predictors import PREDICTORS
from mergecast.forecast.recommend import preference
from mergecast.forecast.rows import ROW_KEYS
from mergecast.forecast.sets import RULES
from mergecast.forecast.training import training_rows
from mergecast.forecast.validation.protocols import PROTOCOLS, out_of_fold
from mergecast.forecast.validation.scoring import pearson, spearman
from mergecast.suites.folder import read_run, run_tasks
from mergecast.suites.units import BASE_FILE, model_file
from mergecast.tables.runs import load_run
from mergecast.tables.sets import join_members, split_members

PREDICTOR, FORM, SIZES = "retention", "kept_labelled", (2, 3, 4, 5, 6)
Kept = dict[tuple[str, str, str], float]
Forecasts = Callable[[str, list[str]], Kept]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", nargs="+", type=Path, required=True)
    parser.add_argument("--stand-ins", action="store_true")
    parser.add_argument("--answers", action="store_true")
    parser.add_argument("--merged", action="store_true")
    parser.add_argument("--method", action="append", help="only these, by their recipes' texts")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tables = []
    for run in arguments.run:
        if arguments.answers:
            found = from_answers(run, arguments.method, merged=arguments.merged)
            tables.append(found.assign(run=run.name, pairs="answers"))
            continue
        shifts = stand_ins(run) if arguments.stand_ins else None
        for pairs, kept in sources(run).items():
            tables.append(set_table(run, kept, shifts).assign(run=run.name, pairs=pairs))
    table = pd.concat(tables, ignore_index=True).dropna()
    if arguments.method:
        table = table[table["method"].isin(arguments.method)]
    found = {"rules": scores(table), "choice of a method": choice(table)}
    for title, result in found.items():
        print(f"\n{title}\n{result.to_string(index=False, float_format='{:.3f}'.format)}")
    if arguments.json:
        content = {title: result.to_dict("records") for title, result in found.items()}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def sources(run: Path) -> dict[str, Forecasts]:
    """What each member keeps beside each partner, by where it is known from."""
    pairs, outcomes = load_run(run)
    data = training_rows(pairs, outcomes)
    predictor = PREDICTORS.get(PREDICTOR)
    measured = by_pair(outcomes.members())
    tables = [
        out_of_fold(rows, predictor, PROTOCOLS.get("l2to")).assign(method=method)
        for method, rows in data.items()
    ]
    l2to = by_pair(pd.concat(tables).rename(columns={"predicted": "retention"}))

    def unseen(method: str, members: list[str]) -> Kept:
        rows = data[method]
        inside = np.isin(rows.groups, members)
        train, test = ~inside.any(axis=1), inside.all(axis=1)
        fitted = predictor.make().fit(rows.X[train].reset_index(drop=True), rows.y[train])
        if not test.any():
            return {}
        retention = fitted.predict(rows.X[test].reset_index(drop=True))
        return by_pair(rows.keys[test][ROW_KEYS].assign(method=method, retention=retention))

    return {"measured": lambda *_: measured, "l2to": lambda *_: l2to, "set unseen": unseen}


def by_pair(rows: pd.DataFrame) -> Kept:
    """(method, member, partner) to retention."""
    partner = rows["right"].where(rows["member"] == rows["left"], rows["left"])
    keys = zip(rows["method"], rows["member"], partner, strict=True)
    return dict(zip(keys, rows["retention"], strict=True))


def stand_ins(run: Path) -> dict[tuple[str, str, int], float]:
    """(method, member, size) to what the member keeps beside size - 1 scrambled copies."""
    plan = read_run(run)
    models = {task: run / model_file(task) for task in plan.tasks}
    family = Family.open(run / BASE_FILE, models)
    found = {}
    with Session(family, run_tasks(run), ProbeSettings(40, plan.run.seed)) as session:
        for size in SIZES:
            session.merges = MergeSettings(
                methods=plan.methods,
                merge_seed=plan.run.seed,
                size=size,
                partners=("scrambled",),
                draws=2,
            )
            readings = collect(session)
            for member, method in product(family.names, plan.methods):
                key = (member, method, "scrambled", FORM)
                found[method, member, size] = readings.value(*key)
    return found


def set_table(
    run: Path, forecasts: Forecasts, shifts: dict[tuple[str, str, int], float] | None
) -> pd.DataFrame:
    """One row a method and set: measured retention and that by each rule."""
    outcomes = load_run(run)[1]
    larger = outcomes.by_recipe[outcomes.sizes > 2]
    rows = []
    for (method, members), table in larger.groupby(["method", "members"]):
        names = split_members(members)
        kept = forecasts(method, names)
        beside = np.array(
            [[kept.get((method, i, j), np.nan) for j in names if j != i] for i in names]
        )
        row = {name: rule(beside).mean() for name, rule in RULES.items()}
        row["worst"] = beside.min(axis=1).mean()
        if shifts is not None:
            more = [shifts[method, i, len(names)] - shifts[method, i, 2] for i in names]
            row["shifted"] = row["pair_mean"] + np.mean(more)
        measured = table["retention"].mean(skipna=False)
        rows.append(
            {"method": method, "members": members, "size": len(names), "measured": measured, **row}
        )
    return pd.DataFrame(rows)


def from_answers(run: Path, methods: list[str] | None, *, merged: bool) -> pd.DataFrame:
    """One row a method and set: measured retention, that from the members' answers, and `merged`,
    that of its merge on the same samples, where it is asked for.
    """
    plan, outcomes = read_run(run), load_run(run)[1]
    frame = outcomes.by_recipe[outcomes.sizes > 2]
    measured = frame.groupby(["method", "members"])["retention"].mean().rename("measured")
    wanted = methods or sorted(frame["method"].unique())
    models = {task: run / model_file(task) for task in plan.tasks}
    tasks = run_tasks(run)
    private = sorted({pattern for task in tasks.values() for pattern in task.private})
    family = Family.open(run / BASE_FILE, models, private=private)
    settings = ProbeSettings(seed=plan.run.seed, cache=run / "units" / "probes")
    merges = MergeSettings(
        methods=tuple(wanted),
        merge_seed=plan.run.seed,
        params=plan.run.recipe.merging,
        reestimate_batchnorm=plan.run.recipe.reestimate_batchnorm,
    )
    tables = []
    with Session(family, tasks, settings, merges) as session:
        for size in sorted(set(outcomes.sizes[outcomes.sizes > 2])):
            measured_here = frame["members"][outcomes.sizes == size]
            known = {tuple(split_members(one)) for one in measured_here}
            readings = collect_sets(session, sorted(known))
            names = [join_members(one) for one in readings.members]
            real = merged_sets(session, judged(session)[1], readings.members)[0] if merged else {}
            for method in wanted:
                checked = readings.checked[method]
                fresh = [one not in checked for one in readings.members]
                kept = readings.of(method, names).mean(axis=1)
                table = pd.DataFrame({"method": method, "members": names, "answers": kept})
                if merged:
                    table["merged"] = real[method].mean(axis=1)
                tables.append(table.assign(size=size)[fresh])
    found = pd.concat(tables, ignore_index=True)
    return found.merge(measured.reset_index(), on=["method", "members"])


def rules_of(table: pd.DataFrame) -> list[str]:
    return [name for name in (*RULES, "worst", "shifted", "answers", "merged") if name in table]


def scores(table: pd.DataFrame) -> pd.DataFrame:
    """Per source of pairs, rule and method: r and ρ within a size, absolute error, also by size."""
    rows = []
    for (run, pairs, method), mine in table.groupby(["run", "pairs", "method"], sort=False):
        for rule in rules_of(table):
            sides = [
                (g[rule].to_numpy(), g["measured"].to_numpy()) for _, g in mine.groupby("size")
            ]
            rows.append(
                {
                    "run": run,
                    "pairs": pairs,
                    "rule": rule,
                    "method": method,
                    "n": len(mine),
                    "r": np.mean([pearson(x, y) for x, y in sides]),
                    "rho": np.mean([spearman(x, y) for x, y in sides]),
                    "mae": (mine[rule] - mine["measured"]).abs().mean(),
                    "own": np.mean([np.abs(y - y.mean()).mean() for _, y in sides]),
                    **{
                        f"mae {size}": (some[rule] - some["measured"]).abs().mean()
                        for size, some in mine.groupby("size")
                    },
                }
            )
    found = pd.DataFrame(rows)
    keys = ["run", "pairs", "rule"]
    means = found.drop(columns="method").groupby(keys, sort=False).mean().reset_index()
    return pd.concat([found, means.assign(method="mean")], ignore_index=True)


def choice(table: pd.DataFrame) -> pd.DataFrame:
    """Retention lost by choosing each set's method, and by the best fixed one.

    By the highest number, and as advised (`mergecast.forecast.recommend`).
    """
    rows = []
    for (run, pairs), mine in table.groupby(["run", "pairs"], sort=False):
        kept = mine.pivot_table(index="members", columns="method", values="measured").dropna()
        best = kept.max(axis=1).to_numpy()
        fixed = kept.mean().idxmax()
        for rule in rules_of(table):
            said = mine.pivot_table(index="members", columns="method", values=rule).loc[kept.index]
            chosen = kept.to_numpy()[np.arange(len(kept)), said.to_numpy().argmax(axis=1)]
            merges = said.melt(ignore_index=False, value_name="mean").reset_index()
            size = merges["members"].str.count(r"\+")
            sought = pd.concat([preference(one, ["members"]) for _, one in merges.groupby(size)])
            merges = merges.assign(sought=sought)
            best_one = merges.pivot_table(index="members", columns="method", values="sought")
            advised = kept.to_numpy()[np.arange(len(kept)), best_one.to_numpy().argmax(axis=1)]
            regret, rival = (best - chosen).mean(), (best - kept[fixed]).mean()
            row = {"run": run, "pairs": pairs, "rule": rule, "regret": regret}
            row["advised"] = (best - advised).mean()
            rows.append(row | {"fixed": rival, "fixed_method": fixed})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
