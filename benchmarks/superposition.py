"""Own, superposed and merged: what each tells of pair retention on digits-14, and what it costs.

python benchmarks/superposition.py [--run DIR … [--outcomes DIR …]] [--dir DIR]
    [--calibration 100] [--form FORM]

Nothing is fitted. Intervals are of 2.5 and 97.5 per cent over tasks drawn again, all pairs of the
drawn tasks together. Costs are measured with an empty cache: seconds, and passes of one model over
the samples of one task.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.readings import Readings
from mergecast.evidence.retention import collect as own
from mergecast.evidence.retention import probe as merged
from mergecast.evidence.superposition import collect as superposed
from mergecast.family import Family
from mergecast.forecast.validation.scoring import pearson
from mergecast.runtime.workers import one_thread
from mergecast.suites.folder import run_tasks
from mergecast.suites.run import run_suite
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tasks.probe import Probe

METHODS = ("weight_avg", "task_arithmetic", "ties", "dare", "tsv", "isotropic")
BASE = "base"
KINDS = ("base", "own", "superposed", "merged")
DRAWS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, nargs="+", help="finished runs, one a seed")
    parser.add_argument("--outcomes", type=Path, nargs="+", help="a folder a run; by default its")
    parser.add_argument("--dir", type=Path, default=Path("benchmarks/runs"))
    parser.add_argument("--calibration", type=int, default=100)
    parser.add_argument("--form", default="overlap_unlabelled")
    arguments = parser.parse_args()
    runs = arguments.run or [run_suite("digits-14", arguments.dir / "digits-14-0", workers=1)]
    print(f"digits-14, {arguments.calibration} calibration samples a task, {arguments.form}")
    for run, folder in zip(runs, arguments.outcomes or runs, strict=True):
        with one_thread():
            report(run, folder, arguments.calibration, arguments.form)


def report(run: Path, folder: Path, samples: int, form: str) -> None:
    """Correlations of every kind with the pair's true retention, and what each kind took."""
    tasks = run_tasks(run)
    family = Family.open(
        run / "base.safetensors", {task: run / f"models/{task}.safetensors" for task in tasks}
    )
    seed = int(json.loads((run / "suite.json").read_text())["seed"])
    merges = MergeSettings(methods=METHODS, merge_seed=seed, partners=("base",))
    found: dict[str, Readings] = {}
    for kind, collect in (
        ("own", own.collect),
        ("superposed", superposed.collect),
        ("merged", merged.collect),
    ):
        with (
            counted() as passes,
            Session(family, tasks, ProbeSettings(samples, seed), merges) as session,
        ):
            began = perf_counter()
            found[kind] = collect(session)
            print(f"seed {seed}  {kind:<11}{perf_counter() - began:7.1f} s {passes[0]:6} passes")
    outcomes = OutcomeTable.read(folder / "outcomes.parquet").pairs()
    outcomes = outcomes[outcomes["method"].isin(METHODS)]
    frame = pd.DataFrame([row(found, pair, form) for pair in outcomes.to_dict("records")])
    print(f"{'method':<17}" + "".join(f"{kind:>22}" for kind in KINDS))
    for method in METHODS:
        part = frame[frame["method"] == method]
        if part.empty:
            print(f"{method:<17}    not measured")
            continue
        print(f"{method:<17}" + "".join(f"{interval(part, kind):>22}" for kind in KINDS))


def row(found: dict[str, Readings], pair: dict[str, object], form: str) -> dict[str, object]:
    """A pair's outcome and the mean of both members by every kind."""
    left, right, method = (str(pair[key]) for key in ("left", "right", "method"))
    both = ((left, right), (right, left))
    superposed = found["superposed"].value
    values = {
        "base": [superposed(first, BASE, form) for first, _ in both],
        "own": [found["own"].value(first, method, BASE, form) for first, _ in both],
        "superposed": [superposed(*two, method, form) for two in both],
        "merged": [found["merged"].value(*two, method, form) for two in both],
    }
    means = {kind: float(np.mean(numbers)) for kind, numbers in values.items()}
    return {"left": left, "right": right, "method": method, "y": pair["retention"], **means}


def interval(part: pd.DataFrame, kind: str) -> str:
    """Pearson's r, with an interval over tasks."""
    tasks = sorted({*part["left"], *part["right"]})
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        weights = pd.Series(generator.multinomial(len(tasks), [1 / len(tasks)] * len(tasks), 1)[0])
        weights.index = pd.Index(tasks)
        times = (part["left"].map(weights) * part["right"].map(weights)).to_numpy()
        if (times > 0).sum() > 2:
            drawn.append(
                pearson(np.repeat(part[kind].to_numpy(), times), np.repeat(part["y"], times))
            )
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return f"{pearson(part[kind].to_numpy(), part['y'].to_numpy()):.2f} [{low:.2f}, {high:.2f}]"


class counted:  # noqa: N801
    """How often a model was run over a task's samples while the context lasts."""

    def __enter__(self) -> list[int]:
        self.passes, self.logits = [0], Probe.logits

        def count(probe: Probe, *arguments: object, **options: object) -> object:
            self.passes[0] += 1
            return self.logits(probe, *arguments, **options)

        Probe.logits = count
        return self.passes

    def __exit__(self, *error: object) -> None:
        Probe.logits = self.logits


if __name__ == "__main__":
    main()
