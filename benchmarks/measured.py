"""What a few measured pairs are worth to the forecasts of a family's other pairs.

python benchmarks/measured.py [--run DIR] [--splits 5] [--draws 20] [--method M …] [--json FILE]

DIR is a folder with pairs and outcomes tables, digits-14's by default. In each split a forecaster
is fitted on the pairs of a random half of the tasks and forecasts those of the other half, k of
which are then measured, drawn at random. Errors are of the pairs that were not measured: forecasts
without and with the measured ones, and the mean of the measured ones under the method. Inside:
share of members in their 90 % interval, without and with; width: of the interval. With --method
only merges by these methods are measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.intervals import LEVEL
from mergecast.forecast.measured import with_measured
from mergecast.forecast.shipped import MEASURED
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from mergecast.tables.runs import load_run
from mergecast.tables.sets import join_members

KEYS = ["method", "left", "right"]
COUNTS = (1, 3, 5, 10)
RUN = MEASURED / "digits-14"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, default=RUN)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--method", action="append")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pairs, outcomes = load_run(arguments.run)
    methods = arguments.method or outcomes.methods
    found = pd.concat(
        errors(cold, outcomes, methods, arguments.draws, seed).assign(tier=tier)
        for tier in (pairs.tier_names[0], pairs.tier_names[-1])
        for seed, cold in enumerate(forecasts(pairs.up_to(tier), outcomes, arguments.splits))
    )
    by_method = found.groupby(["tier", "method", "measured"]).mean().reset_index()
    means = by_method.drop(columns="method").groupby(["tier", "measured"]).mean().reset_index()
    result = {"means over methods": means, "by method": by_method}
    for title, table in result.items():
        print(f"\n{title}\n{table.to_string(index=False, float_format='{:.3f}'.format)}")
    if arguments.json:
        content = {title: table.to_dict("records") for title, table in result.items()}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def forecasts(pairs: PairTable, outcomes: OutcomeTable, splits: int) -> Iterator[pd.DataFrame]:
    """Member rows of one half's pairs, forecast from the other half's, with what was measured."""
    frame = pairs.frame
    tasks = sorted({*frame["left"], *frame["right"]})
    truth = outcomes.members().rename(columns={"retention": "truth"})
    for seed in range(splits):
        half = np.random.default_rng(seed).permutation(tasks)[: len(tasks) // 2]
        left, right = frame["left"].isin(half), frame["right"].isin(half)
        forecaster = Forecaster.fit(pairs.keep(left & right), outcomes, cheaper=False, warm=False)
        rows = forecaster.forecast(pairs.keep(~left & ~right)).rows
        yield rows.merge(truth, on=["suite", "method", "left", "right", "member"])


def errors(
    cold: pd.DataFrame, outcomes: OutcomeTable, methods: list[str], draws: int, seed: int
) -> pd.DataFrame:
    """One row a draw of measured pairs and method."""
    pairs = sorted({join_members(pair) for pair in zip(cold["left"], cold["right"], strict=True)})
    members, by = outcomes.frame["members"], outcomes.frame["method"].isin(methods)
    name = cold["left"] + "+" + cold["right"]
    tables = []
    for count in COUNTS:
        for draw in range(draws):
            chosen = np.random.default_rng([seed, count, draw]).choice(pairs, count, replace=False)
            warm, _ = with_measured(cold, outcomes.keep(members.isin(chosen) & by), LEVEL)
            tables.append(compared(cold, warm, name.isin(chosen)).assign(measured=count))
    return pd.concat(tables)


def compared(cold: pd.DataFrame, warm: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    """By method: errors on pairs, and intervals of members, of what was not measured."""
    level = cold[chosen].groupby("method")["truth"].mean()
    rows = cold.assign(with_measured=warm["retention"], mean=cold["method"].map(level))
    for kind, table in (("without", cold), ("with", warm)):
        rows[f"inside_{kind}"] = table["truth"].between(table["lower"], table["upper"])
    rows["width"] = warm["upper"] - warm["lower"]
    rows = rows[~chosen & rows["retention"].notna()]
    by_pair = rows.groupby(KEYS)[["retention", "with_measured", "mean", "truth"]].mean()
    said = by_pair.drop(columns="truth").rename(columns={"retention": "without"})
    mae = said.sub(by_pair["truth"], axis=0).abs().groupby("method").mean()
    share = rows.groupby("method")[["inside_without", "inside_with", "width"]].mean()
    return mae.rename(columns={"with_measured": "with"}).join(share).reset_index()


if __name__ == "__main__":
    main()
