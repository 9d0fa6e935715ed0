"""What choosing a strength loses against the best of a grid, on merges that are made and scored.

python benchmarks/strength.py --run DIR … [--methods M …] [--drawn 2=24 3=12 …] [--samples 1000]

DIR of --run is a finished run of a suite: random pairs and sets of 3 to 5, none of them a merge
that the curves were fitted to, at ten strengths, scored on test samples. Choices, all on the same
100 calibration samples a task: `curve`, from stored answers; `merge`, the merges themselves; and
what is fixed: the method's default, the one strength that is best over all sizes, and the best of
each size, the last two chosen on the test scores themselves. `error` is the mean distance of a
curve from the merges' own on the calibration samples, `inside` the share of these in its 90 %
interval; `rho` and `mae` compare curve, and merge, with retention on the test samples, at the
default strength, within a size.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.retention.merges import answer, compare
from mergecast.evidence.superposition.strengths import (
    CHOICE,
    FORM,
    collect_strengths,
    direction,
    groups,
    value_of,
)
from mergecast.family import Family
from mergecast.forecast.strengths import StrengthForecast
from mergecast.forecast.validation.scoring import spearman
from mergecast.merging.method import METHODS
from mergecast.merging.recipe import STRENGTH, Recipe
from mergecast.runtime.workers import one_thread
from mergecast.suites.folder import read_run, run_tasks
from mergecast.suites.units import BASE_FILE, model_file
from mergecast.tasks.scores import accuracy

#: The strongest of the grid of ten.
TOP = {"task_arithmetic": 1.0, "dare": 1.0, "ties": 2.0, "tsv": 1.5, "isotropic": 1.5}
CALIBRATION = 100


@dataclass(frozen=True)
class Curves:
    """One set over the grid: true retention; on calibration, the merges' own by the form of choice
    and by that of curves; the forecast; and the share of the merges' own in its interval.
    """

    members: tuple[str, ...]
    truth: np.ndarray
    merged: np.ndarray
    own: np.ndarray
    forecast: np.ndarray
    inside: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", nargs="+", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=["task_arithmetic", "ties"])
    parser.add_argument("--samples", type=int, default=1000, help="test samples a task")
    parser.add_argument(
        "--drawn", nargs="+", default=["2=24", "3=12", "4=12", "5=12"], help="sets of each size"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tables, counts = [], {int(size): int(n) for size, n in (d.split("=") for d in arguments.drawn)}
    with one_thread():
        for run, method in itertools.product(arguments.run, arguments.methods):
            curves, top = measured(run, method, arguments.samples, counts), TOP[method]
            grid = np.linspace(top / 10, top, 10)
            table = regrets(curves, grid, METHODS.get(method).defaults[STRENGTH])
            tables.append(table.assign(run=run.name, method=method))
            print(f"\n{run.name} {method}\n{table.to_string(float_format='{:.4f}'.format)}")
    if arguments.json:
        rows = pd.concat(tables).reset_index().to_dict("records")
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measured(run: Path, method: str, samples: int, counts: dict[int, int]) -> list[Curves]:
    """Every drawn set merged over the grid, and forecast."""
    plan, tasks = read_run(run), run_tasks(run)
    family = Family.open(run / BASE_FILE, {task: run / model_file(task) for task in tasks})
    settings = ProbeSettings(CALIBRATION, plan.run.seed)
    with Session(family, tasks, settings, MergeSettings(merge_seed=plan.run.seed)) as session:
        strengths = StrengthForecast(collect_strengths(session, method))
        tests = {label: tasks[label].samples(samples, plan.run.seed, "test") for label in tasks}
        single = {label: score(session, label, session.state(label), tests) for label in tasks}
        grid = np.linspace(TOP[method] / 10, TOP[method], 10)
        return [
            one_set(session, method, members, strengths, tests, single, grid)
            for members in drawn(sorted(tasks), plan.run.seed, counts)
        ]


def drawn(names: list[str], seed: int, counts: dict[int, int]) -> list[tuple[str, ...]]:
    """Random sets of every size, none of them fitted to."""
    generator, used = np.random.default_rng(seed), set(groups(names))
    sets = []
    for size, count in counts.items():
        pool = [one for one in itertools.combinations(names, size) if one not in used]
        sets += [pool[i] for i in generator.choice(len(pool), count, replace=False)]
    return sets


def one_set(session, method, members, strengths: StrengthForecast, tests, single, grid) -> Curves:
    way_of_asking = strengths.readings.way
    keys = [f"{form}_{way_of_asking}" for form in (CHOICE, FORM)]
    recipe = Recipe(method, seed=session.merges.merge_seed)
    way = direction(session, recipe, members)
    truth, merged = [], []
    for strength in grid:
        weights = way.at(float(strength))
        truth.append(
            np.mean([score(session, one, weights, tests) / single[one] for one in members])
        )
        found = [compare(session, one, answer(session, one, weights)) for one in members]
        merged.append(
            [
                np.mean([value_of(x, key, one) for x, one in zip(found, members, strict=True)])
                for key in keys
            ]
        )
    curve, (choice, own) = strengths.curve(members, grid), np.array(merged).T
    inside = float(np.mean((curve.low <= own) & (own <= curve.high)))
    return Curves(members, np.array(truth), choice, own, curve.mean, inside)


def score(session, label, weights, tests) -> float:
    """Accuracy on the test samples."""
    from mergecast.merging.stand_ins import with_own_head

    parameters = with_own_head(session.family, weights, label)
    logits = session.probe(label).logits(parameters, tests[label], 500)
    return float(accuracy(logits, tests[label].labels).mean())


def regrets(curves: list[Curves], grid: np.ndarray, default: float) -> pd.DataFrame:
    """Mean loss of every choice by size of set, and over sizes alike."""
    truth = np.stack([one.truth for one in curves])
    lost = truth.max(axis=1, keepdims=True) - truth
    sizes = np.array([len(one.members) for one in curves])
    by_size = np.stack([lost[sizes == size].mean(axis=0) for size in np.unique(sizes)])
    one_fixed = by_size.mean(axis=0).argmin()
    rows = {}
    for place, size in enumerate(np.unique(sizes)):
        chosen = [one for one in curves if len(one.members) == size]
        part = lost[sizes == size]
        own = np.array([part[i, np.nanargmax(one.forecast)] for i, one in enumerate(chosen)])
        rows[str(size)] = {
            "sets": len(chosen),
            "curve": own.mean(),
            "merge": np.mean([part[i, one.merged.argmax()] for i, one in enumerate(chosen)]),
            "default": by_size[place, np.abs(grid - default).argmin()],
            "one_fixed": by_size[place, one_fixed],
            "fixed_by_size": by_size[place].min(),
            "best": grid[by_size[place].argmin()],
            "chosen": np.mean([grid[np.nanargmax(one.forecast)] for one in chosen]),
            "error": np.mean([np.nanmean(abs(one.forecast - one.own)) for one in chosen]),
            "inside": np.mean([one.inside for one in chosen]),
            **level(chosen, int(np.abs(grid - default).argmin())),
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table = table.astype(float)
    table.loc["mean"] = table.mean()
    return table


def level(curves: list[Curves], at: int) -> dict[str, float]:
    """Retention at the default strength, forecast and by the merge itself: ρ and mean error."""
    truth = np.array([one.truth[at] for one in curves])
    found = {}
    for name, values in (
        ("curve", np.array([one.forecast[at] for one in curves])),
        ("merge", np.array([one.own[at] for one in curves])),
    ):
        found[f"rho_{name}"] = spearman(values, truth)
        found[f"mae_{name}"] = float(np.abs(values - truth).mean())
    return found


if __name__ == "__main__":
    main()
