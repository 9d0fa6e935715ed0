"""What merges keep of each task, and what superposition says of it: where a suite's errors are.

python benchmarks/by_task.py [FOLDER …]

FOLDER is a measured table with superposition; by default those that come with the package. One row
a task: its base's and its model's score, the mean of what merges of pairs keep of it, over the
six methods and all partners, and how far superposition (form `expected`, nothing fitted) lies above
that, with labels and without. Then each way's error of a member's retention, of the suite's own
mean's, with all tasks and without the three that it is most wrong about.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from mergecast.forecast.rows import ROW_KEYS, member_rows
from mergecast.forecast.shipped import measured_folders
from mergecast.suites.merges import SIX
from mergecast.tables.runs import load_run

WAYS = ("labelled", "unlabelled")
WORST = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    for folder in parser.parse_args().folders or measured_folders():
        rows = member_table(folder)
        tasks = pd.read_parquet(folder / "tasks.parquet").set_index("task")
        table = rows.groupby("member")[["retention", *WAYS]].mean()
        table.insert(0, "model", tasks["single_score"])
        table.insert(0, "base", tasks["base_score"])
        worst = table[list(WAYS)].abs().max(axis=1).nlargest(WORST).index
        rest = rows[~rows["member"].isin(worst) & ~rows["partner"].isin(worst)]
        print(f"{rows['suite'].iloc[0]}\n{table.round(3).to_string()}")
        for way in WAYS:
            print(
                f"{way}: {ratio(rows, way):.2f}, without {', '.join(worst)} {ratio(rest, way):.2f}"
            )
        print()


def member_table(folder: Path) -> pd.DataFrame:
    """One row a member of a pair and method: what it keeps, and by how much each way says more."""
    pairs, outcomes = load_run(folder)
    kept = outcomes.members()
    tables = []
    for method in SIX:
        mine = kept[kept["method"] == method]
        rows = member_rows(pairs, method).merge(mine, on=ROW_KEYS)
        tables.append(
            rows.assign(**{x: rows[f"superposed_expected_{x}"] - rows["retention"] for x in WAYS})
        )
    return pd.concat(tables, ignore_index=True)


def ratio(rows: pd.DataFrame, way: str) -> float:
    """Mean absolute error over that of the method's mean, mean over methods."""
    own = rows["retention"] - rows.groupby("method")["retention"].transform("mean")
    errors = pd.DataFrame({"said": rows[way].abs(), "own": own.abs(), "method": rows["method"]})
    means = errors.groupby("method").mean()
    return float(means["said"].mean() / means["own"].mean())


if __name__ == "__main__":
    main()
