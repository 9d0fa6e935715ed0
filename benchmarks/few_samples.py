"""How often intervals hold where forecasts have few samples, and how wide they are then.

python benchmarks/few_samples.py --run DIR [--outcomes TABLE] [--draws N]

DIR is a finished run with its models. All its pairs are forecast from 5 to 100 calibration samples
of each task, drawn anew N times, by a forecaster of the measured suites of other kinds, by six
methods. One row a number of samples, with labels: the mean absolute error of a member, the share of
members in their 90 % interval and its mean width; the same without what few samples add to
intervals.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import pandas as pd

import mergecast as mc
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.rows import ROW_KEYS, kin
from mergecast.forecast.shipped import measured_folders
from mergecast.suites.folder import read_run
from mergecast.suites.merges import SIX
from mergecast.suites.units import BASE_FILE, model_file
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import FEW_SAMPLES, PairTable

COUNTS = (5, 10, 20, 50, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--outcomes", type=Path, help="the run's own by default")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--cache", type=Path)
    arguments = parser.parse_args()
    folder = arguments.run
    plan = read_run(folder)
    truth = OutcomeTable.read(arguments.outcomes or folder / "outcomes.parquet").members()
    truth = truth.rename(columns={"retention": "measured"}).drop(columns="suite")
    forecaster = of_others(plan.run.label)
    models = {name: folder / model_file(name) for name in plan.tasks}
    logging.disable(logging.WARNING)
    rows = []
    for count in COUNTS:
        for draw in range(arguments.draws if count < max(COUNTS) else 1):
            made = mc.forecast(
                folder / BASE_FILE,
                models,
                tasks=folder,
                forecaster=forecaster,
                methods=SIX,
                calibration=count,
                seed=draw,
                cache=arguments.cache,
            )
            rows.append({"samples": count, **scores(forecaster, made.metrics, truth)})
    table = pd.DataFrame(rows).groupby("samples").mean()
    print(f"{plan.run.label}, {arguments.draws} draws\n\n{table.round(3).to_string()}")


def of_others(label: str) -> Forecaster:
    """A forecaster of the measured suites of other kinds than a run."""
    pairs, outcomes = mc.load_run(*measured_folders())
    others = [one for one in pairs.suites if kin(one) != kin(label)]
    return Forecaster.fit(
        pairs.keep(pairs.frame["suite"].isin(others)),
        outcomes.keep(outcomes.frame["suite"].isin(others)),
        warm=False,
    )


def scores(forecaster: Forecaster, pairs: PairTable, truth: pd.DataFrame) -> dict[str, float]:
    """Of one draw: error, share inside and width, and the last two as if samples were many."""
    recipe = {key: value for key, value in pairs.recipe.items() if key != FEW_SAMPLES}
    found: dict[str, float] = {}
    for name, table in (("", pairs), (", as if many", replace(pairs, recipe=recipe))):
        told = forecaster.forecast(table).rows
        told = told[told["method"].isin(SIX)].dropna(subset=["retention"])
        keys = [key for key in [*ROW_KEYS, "method"] if key != "suite"]
        told = told.merge(truth, on=keys)
        found.setdefault("error", float((told["retention"] - told["measured"]).abs().mean()))
        found[f"inside{name}"] = float(
            told["measured"].between(told["lower"], told["upper"]).mean()
        )
        found[f"width{name}"] = float((told["upper"] - told["lower"]).mean())
    return found


if __name__ == "__main__":
    main()
