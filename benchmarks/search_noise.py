"""How alike the sampling noise of merges is that are measured on the same samples of a member.

python benchmarks/search_noise.py [--table FOLDER …]

FOLDER is a measured table with the scores of every sample; by default all that the shipped
forecaster knows. Of every two merges of a member: the correlation of what each sample adds to how
far off what is kept is. Merges differ by recipe, by partner, or by both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from mergecast.forecast.shipped import measured_folders
from mergecast.search.judge import Seen
from search_measured import Measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=Path, action="append")
    asked = parser.parse_args()
    rows = [
        {"suite": folder.name, **alike(Measured([folder / "outcomes.parquet"]))}
        for folder in asked.table or measured_folders()
    ]
    print(pd.DataFrame(rows).round(2).to_string(index=False))


def alike(measured: Measured) -> dict[str, float]:
    """Mean correlations over members, of pairs that differ by recipe, by partner, or by both."""
    parts: dict[str, list[tuple[str, str, np.ndarray]]] = {}
    for (members, recipe), scores in measured.scores.items():
        if len(members) != 2:
            continue
        seen = Seen.of(scores, [measured.single[x] for x in members])
        for at, member in enumerate(members):
            if seen.residuals[at].any():
                one = (members[1 - at], recipe, seen.residuals[at])
                parts.setdefault(member, []).append(one)
    found: dict[str, list[float]] = {"recipe": [], "partner": [], "both": []}
    for merges in parts.values():
        partners, recipes = (np.array([one[at] for one in merges]) for at in (0, 1))
        together = np.corrcoef([one[2] for one in merges])
        other_partner = partners[:, None] != partners
        other_recipe = recipes[:, None] != recipes
        found["recipe"].append(together[~other_partner & other_recipe].mean())
        found["partner"].append(together[other_partner & ~other_recipe].mean())
        found["both"].append(together[other_partner & other_recipe].mean())
    return {f"other {what}": float(np.mean(values)) for what, values in found.items()}


if __name__ == "__main__":
    main()
