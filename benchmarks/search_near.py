"""What strengths and weights near the best merge add to a search.

python benchmarks/search_near.py --run DIR [--searches 12] [--size 3] [--samples 480]
    [--budget N] [--workers 2] --cache DIR

DIR is a finished run of a suite. Each search draws `--size` of its models and looks for the best
way to merge them all, twice: as `search` does, and among the forecaster's recipes alone. Both
choices are verified on the same test samples, which neither saw; `--samples` of each task are there
to look at, in suites that have so many. The cache keeps evidence and measurements, so that an
interrupted run goes on.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

import mergecast as mc
from mergecast.search.verify import Verified
from mergecast.suites.folder import read_run
from mergecast.suites.units import BASE_FILE, model_file

#: Standard errors from a mean to the ends of its 90 % interval.
WIDE = 1.645


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--searches", type=int, default=12)
    parser.add_argument("--size", type=int, default=3)
    parser.add_argument("--samples", type=int, default=0, help="calibration samples of a task")
    parser.add_argument("--budget", type=int, help="measurements of a search")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path, required=True)
    asked = parser.parse_args()
    plan = read_run(asked.run)
    if asked.samples:
        recipe = plan.run.recipe.model_copy(update={"n_calibration": asked.samples})
        plan = replace(plan, run=replace(plan.run, recipe=recipe))
    rows = []
    for seed in range(asked.searches):
        drawn = np.random.default_rng(seed).choice(plan.tasks, asked.size, replace=False)
        for near in (False, True):
            found = searched(asked, plan, sorted(drawn.tolist()), seed, near=near)
            assert isinstance(found.verified, Verified)
            rows.append(
                {
                    "seed": seed,
                    "near": near,
                    "kept": found.verified.value,
                    "recipe": str(found.chosen.recipe),
                    "measurements": found.cost["measurements"],
                    "samples": found.cost["samples"],
                }
            )
            print(pd.DataFrame(rows[-1:]).to_string(header=False, index=False), flush=True)
    report(pd.DataFrame(rows), asked.run.name)


def searched(asked, plan, labels: list[str], seed: int, *, near: bool) -> mc.SearchResult:
    """A search among the merges of some models; with others near the best one, or without."""
    with nullcontext() if near else mock.patch("mergecast.api.search.Near", return_value=None):
        return mc.search(
            asked.run / BASE_FILE,
            {label: asked.run / model_file(label) for label in labels},
            tasks={label: plan.run.task(label) for label in labels},
            budget=asked.budget,
            seed=seed,
            cache=asked.cache,
            workers=asked.workers,
        )


def report(rows: pd.DataFrame, name: str) -> None:
    """What is kept both ways, and the difference on the same draws."""
    without, beside = (rows[rows["near"] == near].set_index("seed") for near in (False, True))
    gain = beside["kept"] - without["kept"]
    moved = beside["recipe"] != without["recipe"]
    half = WIDE * gain.std(ddof=1) / np.sqrt(len(gain))
    print(f"\n{name}: {len(gain)} searches")
    print(f"kept without {without['kept'].mean():.4f}, with {beside['kept'].mean():.4f}")
    ends = f"best {gain.max():+.4f}, worst {gain.min():+.4f}"
    print(f"gain {gain.mean():+.4f} ± {half:.4f} (90 %); {ends}")
    print(f"another merge chosen in {int(moved.sum())}; gain of these {gain[moved].mean():+.4f}")
    more = beside["samples"].mean() / without["samples"].mean()
    print(f"samples: {more:.2f} times as many")


if __name__ == "__main__":
    main()
