"""What a few merged pairs say of the others in a family of whole models and adapters.

python benchmarks/kinds.py --run DIR --other DIR [--tasks bbc,…] [--draws 50]

DIR are runs of one suite on one encoder with their models, tuned whole and by LoRA say, or other
parts of it (`benchmarks/parts.py`). Models of the tasks that are named are taken from both, as one
family. All its pairs are superposed, at what a method leaves of each model alone, and really merged
by every method, on the same calibration samples. Then some pairs correct the others: none; three,
and half as many as there are models, drawn as often as --draws says; and those that mergecast
chooses, of every two kinds, correcting all pairs alike, and as mergecast does, members of one kind
beside another first. Errors are mean absolute ones of `expected`, of a member, in pairs that no way
has merged as a check; spread is the standard deviation of one pair's value over draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from itertools import combinations, permutations, product
from pathlib import Path

import numpy as np
import pandas as pd

from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.readings import Key
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.superposition.checks import (
    PAIRS,
    checked_pairs,
    real_merges,
    said_lost,
)
from mergecast.evidence.superposition.corrections import corrected
from mergecast.evidence.superposition.gather import gather
from mergecast.evidence.superposition.kinds import Kinds, kinds_of
from mergecast.evidence.superposition.lefts import Lefts
from mergecast.evidence.superposition.pair_shifts import PairShifts
from mergecast.evidence.superposition.shifts import Left
from mergecast.family import Family
from mergecast.merging.method import usual_methods
from mergecast.runtime.workers import one_thread
from mergecast.suites.folder import read_run, run_tasks
from mergecast.suites.units import BASE_FILE, model_file

WAYS = ("labelled", "unlabelled")
Checks = list[tuple[str, str]]
Found = Mapping[str, Mapping[Key, Comparison]]


def main() -> None:
    arguments = of_two_runs(__doc__.partition("\n")[0]).parse_args()
    with one_thread(), opened(arguments) as session:
        kinds = kinds_of(session)
        superposed, merged = both(session)
    print(f"{len(kinds)} models of kinds {sorted({*kinds.values()})}, {len(superposed)} methods")
    rows = pd.concat(
        one_draw(superposed, merged, kinds, seed).assign(draw=seed)
        for seed in range(arguments.draws)
    )
    show(rows)


def of_two_runs(words: str) -> argparse.ArgumentParser:
    """The options of a benchmark of a family of two runs' models."""
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--other", type=Path, required=True)
    parser.add_argument("--tasks", default="bbc,movie,ng-rec,spam,tweets,wn-pos")
    parser.add_argument("--method", action="append")
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--cache", type=Path)
    return parser


def opened(arguments: argparse.Namespace) -> Session:
    """The models of both runs as one family, each with its task."""
    of_run, files, tasks = run_tasks(arguments.run), {}, {}
    methods = tuple(arguments.method or usual_methods())
    for name in arguments.tasks.split(","):
        for label, run in ((name, arguments.run), (f"other-{name}", arguments.other)):
            files[label], tasks[label] = run / model_file(name), of_run[name]
    family = Family.open(
        arguments.run / BASE_FILE,
        files,
        private=sorted({pattern for task in tasks.values() for pattern in task.private}),
    )
    seed = read_run(arguments.run).run.seed
    settings = ProbeSettings(seed=seed, cache=arguments.cache)
    return Session(family, tasks, settings, MergeSettings(methods=methods, merge_seed=seed))


def both(session: Session) -> tuple[Found, Found]:
    """Every pair's members by method: as shifts say, and as their merges do."""
    names = sorted(session.family.names)
    shifts = gather(session)
    judges = {
        label: forms.Reference(shifts.single[label], own_answers(session, label)[0].labels).compare
        for label in names
    }
    merges, _ = real_merges(session, [*combinations(names, 2)], "all pairs")
    alone = PairShifts(shifts, judges, Lefts.of(session, kinds_of(session), {}, Left()))
    superposed = {method: alone.kept(permutations(names, 2), method) for method in session.methods}
    merged = {
        method: {
            (task, partner, method): merges[(min(task, partner), max(task, partner)), method][task]
            for task, partner in permutations(names, 2)
        }
        for method in session.methods
    }
    return superposed, merged


def one_draw(superposed: Found, merged: Found, kinds: Kinds, seed: int) -> pd.DataFrame:
    """A row a member of a pair that was not merged, method and way of asking."""
    one_kind = dict.fromkeys(kinds, "")
    order = np.random.default_rng(seed).permutation(sorted(kinds)).tolist()
    drawn = [(min(pair), max(pair)) for pair in zip(order[::2], order[1::2], strict=False)]
    chosen = checked_pairs(kinds, said_lost(superposed, sorted(kinds)))
    ways: dict[str, tuple[Checks, Kinds]] = {
        "none": ([], one_kind),
        f"{PAIRS} of any": (drawn[:PAIRS], one_kind),
        f"{len(drawn)} of any": (drawn, one_kind),
        f"{len(chosen)} of all kinds, alike": (chosen, one_kind),
        f"{len(chosen)} of all kinds": (chosen, kinds),
    }
    merged_here = {frozenset(pair) for checks, _ in ways.values() for pair in checks}
    rows = []
    for method, said in superposed.items():
        for way, (checks, known) in ways.items():
            real = {
                (task, partner, method): merged[method][task, partner, method]
                for pair in checks
                for task, partner in (pair, pair[::-1])
            }
            found = corrected(said, real, known)
            left = [key for key in found if frozenset(key[:2]) not in merged_here]
            for key, asked in product(left, WAYS):
                made_of = f"{kinds[str(key[0])]} beside {kinds[str(key[1])]}"
                value, true = (
                    one[key].values[f"expected_{asked}"]  # noqa: PD011
                    for one in (found, merged[method])
                )
                rows.append((asked, method, way, made_of, key, value, true))
    columns = ["asked", "method", "way", "kinds", "key", "value", "true"]
    return pd.DataFrame(rows, columns=columns)


def show(rows: pd.DataFrame) -> None:
    """Errors by way: of all methods, of each, and of each two kinds; and how values spread."""
    rows = rows.assign(error=(rows["value"] - rows["true"]).abs())
    for asked, some in rows.groupby("asked", sort=False):
        order = some["way"].unique()
        print(f"\n{asked}: mean absolute error")
        by_method = some.pivot_table(index="way", columns="method", values="error")
        by_method.insert(0, "all", by_method.mean(axis=1))
        print(by_method.loc[order].round(4).to_string())
        by_kinds = some.pivot_table(index="way", columns="kinds", values="error")
        print(by_kinds.loc[order].round(4).to_string())
        values = some.pivot_table(
            index="way", columns=["method", "key"], values="value", aggfunc="std"
        )
        print("spread of a pair's value over draws")
        print(values.T.groupby("method").mean().T.loc[order].round(4).to_string())


if __name__ == "__main__":
    main()
