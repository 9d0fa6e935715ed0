"""How near `search` comes to trying every merge, and at what cost, beside other ways of searching.

python benchmarks/search.py --table FOLDER [--table FOLDER …] [--searches N] [--plot FILE]
python benchmarks/search.py --run DIR --outcomes TABLE … [--searches N] [--plot FILE]

FOLDER is a measured table that has the scores of every sample, as some of those that come with the
package do: its pairs are searched, and no model is read; several are searched in turn. Or DIR is a
finished run, and the tables, of `mergecast measure` with all its sets of some sizes, have the
scores beside them.

A search, of merges of one size of some of the models, looks at one half of a task's samples, chosen
anew, and is judged on the other: what its choice keeps there, less what the merge keeps that is
best on all of the first half (the exhaustive search). Forecasts are by a forecaster fitted on the
other suites. Beside it: taking the best forecast unseen, random search, Optuna's TPE and CMA-ES,
each of whose proposals is measured on the whole half, none twice. A look of the search counts as
one measurement as well, however few its samples. A choice is verified on one half of the samples
that it is judged on; how often the interval holds is told by the other half. Needs the packages
optuna and, for CMA-ES, cma.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

import mergecast as mc
from mergecast.api.gathered import gathered_forecast
from mergecast.api.search_pool import priced_pairs, search_pool
from mergecast.forecast.shipped import measured_folders
from mergecast.search.candidates import Candidate, Pool
from mergecast.search.objective import Objective
from mergecast.search.run import Search
from mergecast.search.verify import verify
from mergecast.suites.folder import read_run, run_tasks
from mergecast.suites.units import BASE_FILE, model_file
from search_curves import Z90, draw_curves, show_curves
from search_measured import Measured, TableJudge
from search_ways import WAYS, Key


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=Path, action="append", default=[])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--outcomes", nargs="+", type=Path)
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--others", type=int, default=5, help="searches of the other ways")
    parser.add_argument("--tasks", type=int, default=8, help="models of each search, drawn anew")
    parser.add_argument("--objective", default="mean")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="draw the curves")
    parser.add_argument("--cache", type=Path)
    arguments = parser.parse_args()
    if bool(arguments.table) == (arguments.run is not None and arguments.outcomes is not None):
        parser.error("give tables alone, or a run and its outcomes")
    objective = Objective(arguments.objective)
    found = {}
    for folder in arguments.table or [arguments.run]:
        if arguments.table:
            measured = Measured([folder / "outcomes.parquet"])
            pool = pairs_of(folder, measured)
        else:
            measured = Measured(arguments.outcomes)
            pool = pool_of(folder, measured, objective, arguments.cache)
        print(f"{folder.name}: {len(pool.priced):,} merges of {len(pool.labels)} models")
        rows = []
        for seed in range(arguments.searches):
            others = seed < arguments.others
            rows += one_search(pool, measured, objective, seed, arguments.tasks, others)
        found[folder.name] = pd.DataFrame(rows)
        show(found[folder.name])
        sys.stdout.flush()
    if arguments.plot:
        draw_curves(found, arguments.plot)
    if arguments.json:
        named = pd.concat(found, names=["of"]).reset_index("of")
        named.to_json(arguments.json, orient="records", indent=1)


def show(table: pd.DataFrame) -> None:
    """Final regrets, how the searches ended, then the curves of all ways."""
    final = table[table["way"].isin(["forecast", "search"])]
    for keys in (["way"], ["way", "size"]):
        by = final.groupby(keys)[["share", "regret"]]
        shown = pd.concat({"mean": by.mean(), "sem": by.sem(), "worst": by.max()}, axis=1)
        print(shown.round(4).to_string())
    found = table[table["way"] == "search"]
    print(f"intervals hold: {found['holds'].mean():.0%} of {len(found)} searches")
    print(found["ended"].value_counts().to_string())
    print(found[["looks", "certainty"]].describe().loc[["mean", "min", "max"]].round(3).to_string())
    show_curves(table)


def pairs_of(table: Path, measured: Measured) -> Pool:
    """Every measured pair of a table with its forecast, by a forecaster of the other suites."""
    pairs, _ = mc.load_run(table)
    made = forecaster_of_others(suite_of(table)).forecast(pairs)
    recipes = {recipe: mc.Recipe.of(recipe) for _, recipe in measured.scores}
    rows = made.rows[made.rows["method"].isin(recipes)]
    priced = priced_pairs(rows, (), recipes, made.level)
    known = [one for one in priced if _key(one.candidate) in measured.scores]
    return Pool(tuple(measured.labels), known)


def forecaster_of_others(suite: str) -> mc.Forecaster:
    """A forecaster fitted on the measured tables of other suites."""
    return mc.fit([path for path in measured_folders() if suite_of(path) != suite])


def pool_of(run: Path, measured: Measured, objective: Objective, cache: Path | None) -> Pool:
    """Every measured merge with its forecast, by a forecaster of the other suites."""
    sizes = sorted({len(members) for members, _ in measured.scores})
    forecaster = forecaster_of_others(read_run(run).run.suite_name)
    with TemporaryDirectory() as scratch:
        gathered = gathered_forecast(
            run / BASE_FILE,
            {label: run / model_file(label) for label in measured.labels},
            tasks=run_tasks(run),
            forecaster=forecaster,
            methods=sorted({recipe for _, recipe in measured.scores}),
            cache=cache or scratch,
        )
        pool = search_pool(gathered, sizes, (), objective, 0, most=10**9)
    known = [one for one in pool.priced if _key(one.candidate) in measured.scores]
    return Pool(pool.labels, known)


def one_search(
    pool: Pool, measured: Measured, objective: Objective, seed: int, n_tasks: int, others: bool
) -> list[dict[str, Any]]:
    """One draw of models and samples, searched in every way: a row a way and cost."""
    draw = np.random.default_rng(seed)
    names = sorted(draw.choice(pool.labels, n_tasks, replace=False).tolist())
    sizes = sorted({len(one.candidate.members) for one in pool.priced})
    size = sizes[seed % len(sizes)]
    priced = [
        one
        for one in pool.priced
        if {*one.candidate.members} <= {*names} and len(one.candidate.members) == size
    ]
    part = Pool(tuple(names), priced)
    orders = {name: draw.permutation(len(measured.single[name])) for name in names}
    looked = {name: order[: len(order) // 2] for name, order in orders.items()}
    judged = {name: order[len(order) // 2 :] for name, order in orders.items()}
    keys = [_key(one.candidate) for one in priced]
    on_looked, on_judged = (
        np.array([_value(measured, key, objective, some) for key in keys])
        for some in (looked, judged)
    )
    whole = sum(len(members) * len(looked[members[0]]) for members, _ in keys)
    exhaustive = on_judged[int(on_looked.argmax())]
    prior = np.array([objective.utility(one.candidate.members, one.kept) for one in priced])
    place = {key: row for row, key in enumerate(keys)}

    def row(way: str, samples: float, chosen: int, **more: Any) -> dict[str, Any]:
        regret = float(exhaustive - on_judged[chosen])
        words = {"seed": seed, "size": size, "way": way, "share": samples / whole}
        return {**words, "regret": regret, **more}

    rows = [row("exhaustive", whole, int(on_looked.argmax()))]
    rows.append(row("forecast", 0, int(prior.argmax())))
    judge = TableJudge(measured, looked)
    path: list[tuple[float, int]] = []
    search = Search(part, objective, judge, seed=seed)
    search.told = lambda step: path.append((judge.samples, place[_key(step.best)]))
    search.run()
    chosen = search.best
    rows += [row("path", *one, looks=looks) for looks, one in enumerate(path, start=1)]
    key = keys[chosen]
    rows.append(
        row("search", judge.samples, chosen, ended=search.ended, looks=len(search.steps),
            certainty=search.steps[-1].certainty, holds=_holds(measured, key, objective, judged))
    )  # fmt: skip
    if others:
        for way, propose in WAYS.items():
            best, samples, done = -np.inf, 0.0, set[int]()
            at = -1
            for tried in propose(keys, names, on_looked, seed):
                if tried not in done:
                    done.add(tried)
                    samples += len(keys[tried][0]) * len(looked[keys[tried][0][0]])
                if on_looked[tried] > best:
                    best, at = on_looked[tried], tried
                rows.append(row(way, samples, at, looks=len(done)))
    return rows


def _value(
    measured: Measured, key: Key, objective: Objective, some: dict[str, np.ndarray]
) -> float:
    """What a merge is worth on some samples of every member."""
    kept = np.array(
        [
            scores[some[x]].mean() / measured.single[x][some[x]].mean()
            for x, scores in zip(key[0], measured.scores[key], strict=True)
        ]
    )
    return float(objective.utility(key[0], kept))


def _holds(
    measured: Measured, key: Key, objective: Objective, judged: dict[str, np.ndarray]
) -> bool:
    """Whether the interval of one half of the samples holds what the other half says."""
    verified = {x: some[: len(some) // 2] for x, some in judged.items()}
    rest = {x: some[len(some) // 2 :] for x, some in judged.items()}
    parts = [
        verify(
            key[0],
            [scores[part[x]] for x, scores in zip(key[0], measured.scores[key], strict=True)],
            [measured.single[x][part[x]] for x in key[0]],
            objective,
        )
        for part in (verified, rest)
    ]
    noise = np.hypot(*(one.stderr for one in parts))
    return bool(abs(parts[0].value - parts[1].value) <= Z90 * noise)


def suite_of(table: Path) -> str:
    """The suite of a measured table, whatever the models."""
    name: str = json.loads((table / "suite.json").read_text())["suite"]
    return name.partition("/")[0]


def _key(candidate: Candidate) -> Key:
    return candidate.members, candidate.method


if __name__ == "__main__":
    main()
