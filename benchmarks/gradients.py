"""The gradient metrics of a run's pairs, which measured tables leave out, since they cost most.

python benchmarks/gradients.py --run DIR [-o benchmarks/results] [--cache DIR]

DIR is a finished run with its models. It writes the paper's six gradient metrics and the four of
gradient interference, of six methods, to OUT/gradients-SUITE.csv; science.py reads them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import mergecast as mc
from mergecast.analysis.groups import PAPER_GROUPS
from mergecast.suites.folder import read_run
from mergecast.suites.merges import SIX
from mergecast.suites.units import BASE_FILE, model_file
from mergecast.tables.columns import Column
from mergecast.tables.pairs import PAIR_KEYS
from science_fits import GRADIENT_INTERFERENCE

#: Digits of every value.
_DIGITS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--cache", type=Path)
    arguments = parser.parse_args()
    start, folder = time.perf_counter(), arguments.run
    plan = read_run(folder)
    wanted = [*PAPER_GROUPS["gradient"], *GRADIENT_INTERFERENCE]
    pairs = mc.pair_table(
        folder / BASE_FILE,
        {name: folder / model_file(name) for name in plan.tasks},
        tasks=folder,
        tier="gradients",
        keys=wanted,
        methods=SIX,
        suite=plan.run.label,
        cache=arguments.cache,
        reestimate_batchnorm=plan.run.recipe.reestimate_batchnorm,
    )
    columns = [one for one in pairs.metrics if Column.parse(one).name in wanted]
    table = pairs.frame[[*PAIR_KEYS, *columns]]
    path = arguments.out / f"gradients-{plan.run.label.replace('/', '-')}.csv"
    table.to_csv(path, index=False, float_format=f"%.{_DIGITS}g")
    print(f"{table.shape[0]} pairs, {len(columns)} columns → {path}")
    for entry in pairs.missing[:5]:
        print(f"missing: {entry.key} of {entry.left} and {entry.right}: {entry.reason}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
