"""Tune models of a suite in some of their parameters alone.

python benchmarks/parts.py --run DIR --frozen PATTERN … [--regime REGIME] [--tasks bbc,…] -o DIR

--run is a run of a suite of pre-trained encoders with its base. The models of some of its tasks are
tuned again as it says, wholly or by LoRA, but for what the patterns match, which stays as it is in
the base or gets no adapters. -o becomes a run folder with that base and these models, which other
benchmarks read. One process.
"""

from __future__ import annotations

import argparse
import shutil
from copy import copy
from dataclasses import replace
from pathlib import Path

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.torch_bridge import read_state
from mergecast.checkpoints.writer import write_safetensors
from mergecast.runtime.workers import one_thread
from mergecast.suites.folder import read_run, write_run
from mergecast.suites.units import BASE_FILE, model_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--frozen", action="append", required=True)
    parser.add_argument("--regime", choices=("full", "lora"), help="the run's own by default")
    parser.add_argument("--tasks", default="bbc,movie,ng-rec,spam,tweets,wn-pos")
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    plan, out = read_run(arguments.run), arguments.out
    regime = arguments.regime or plan.run.recipe.regime
    recipe = plan.run.recipe.model_copy(update={"regime": regime})
    tasks = tuple(sorted(arguments.tasks.split(",")))
    run = replace(plan.run, folder=out, recipe=recipe)
    (out / model_file(tasks[0])).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(arguments.run / BASE_FILE, out / BASE_FILE)
    write_run(replace(plan, run=run, tasks=tasks))
    suite = copy(run.suite)
    suite.frozen = (*suite.frozen, *arguments.frozen)
    base = read_state(Checkpoint.open(out / BASE_FILE))
    with one_thread():
        for task in tasks:
            if not (out / model_file(task)).exists():
                tuned = suite.fine_tune(recipe, run.seed, task, base)
                write_safetensors(out / model_file(task), tuned)
            print(task, flush=True)


if __name__ == "__main__":
    main()
