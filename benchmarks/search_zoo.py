"""What a search takes from a zoo of twenty models to a verified merge of three.

python benchmarks/search_zoo.py --run DIR --lora DIR [--more bbc,…] [--size 3] [--budget 15m]

DIR are finished runs of one suite on one encoder, tuned whole and by LoRA: all models of the first
and those of the second that are named, each with its task. Nothing is known before: forecasts,
search and verification in one go, on as many processes as --workers says.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import mergecast as mc
from mergecast.suites.folder import run_tasks
from mergecast.suites.units import BASE_FILE, model_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--lora", type=Path, required=True)
    parser.add_argument("--more", default="bbc,spam,wn-pos,ng-rec,movie")
    parser.add_argument("--size", default="3")
    parser.add_argument("--budget", default="15m")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    start, tasks = time.perf_counter(), dict(run_tasks(arguments.run))
    models = {label: arguments.run / model_file(label) for label in tasks}
    for label in arguments.more.split(","):
        models[f"lora-{label}"] = arguments.lora / model_file(label)
        tasks[f"lora-{label}"] = tasks[label]
    with TemporaryDirectory() as folder:
        found = mc.search(
            arguments.run / BASE_FILE,
            models,
            tasks=tasks,
            size=arguments.size,
            budget=arguments.budget,
            out=Path(folder) / "merged",
            workers=arguments.workers,
        )
    print(found)
    print(found.cost)
    print(f"{len(models)} models, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
