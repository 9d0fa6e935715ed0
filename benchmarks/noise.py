"""How high a correlation with measured outcomes can be, found in two ways.

python benchmarks/noise.py [DIR …]

Of the measured suites, and of run folders named, those that hold the score of every test sample
(`outcomes.samples.parquet`): per recipe the ceiling by the retentions' standard errors, as
`mergecast evaluate` prints it, and by halving the test samples fifty times.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from mergecast.forecast.shipped import measured_folders
from mergecast.forecast.validation.ceiling import ceilings, split_half_ceilings
from mergecast.suites.tables import samples_path
from mergecast.tables.outcomes import OutcomeTable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR")
    for folder in [*measured_folders(), *parser.parse_args().folders]:
        path = folder / "outcomes.parquet"
        samples = samples_path(path)
        if not samples.exists():
            print(f"{folder.name}: no scores of single samples\n")
            continue
        outcomes = OutcomeTable.read(path)
        table = pd.DataFrame(
            {
                "standard errors": ceilings(outcomes),
                "halves": split_half_ceilings(pd.read_parquet(samples)),
            }
        )
        table.loc["mean"] = table.mean()
        print(f"{outcomes.suites[0]}\n{table.round(3).to_string()}\n")


if __name__ == "__main__":
    main()
