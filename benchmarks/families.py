"""What the shipped forecaster is worth on families that it was not fitted on.

python benchmarks/families.py [--make DIR] [--run DIR …] [--fit DIR]

--make fine-tunes four other families of digits in folders of DIR (other widths, depths, bases and
rates, eight tasks each), merges all pairs by six methods and collects what forecasts read: some
minutes each. --run scores folders with pairs and outcomes tables of any family. By family, mean
over methods of the mean absolute error of a pair: superposed retention as it is, a plain line on it
and the overlap (least squares), the forecaster, and the family's own mean, which nobody knows
before. Inside: share of members in their 90 % interval; weights: share of pairs that get a number
from weights alone. All fits are on --fit, digits-14's tables by default.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from mergecast.api.metrics import measure
from mergecast.forecast.estimators.retention_linear import PAIR, RetentionLinear
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.rows import member_rows
from mergecast.forecast.shipped import MEASURED
from mergecast.forecast.training import TrainingRows, training_rows
from mergecast.suites.digits.recipe import DigitsRecipe
from mergecast.suites.merges import SIX
from mergecast.suites.run import run_suite
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from mergecast.tables.runs import load_run

RUN = MEASURED / "digits-14"
KEYS = ["method", "left", "right"]
FAMILIES = {
    "two layers of 128, 200 steps": (
        DigitsRecipe(width=128, hidden=256, depth=2, steps=200),
        "at-least-five inverted left-half modulo-3 permuted prime rotated-90 threshold",
        13,
    ),
    "tuned at 3e-3": (
        DigitsRecipe(rate=3e-3),
        "at-least-five inverted loops mirrored parity permuted rotated-90 upright",
        11,
    ),
    "tuned at 3e-4, 150 steps": (
        DigitsRecipe(rate=3e-4, steps=150),
        "left-half modulo-3 noisy prime rotated-180 threshold upright parity",
        12,
    ),
    "four layers, base of 2000 steps, tuned at 5e-4": (
        DigitsRecipe(base_steps=2000, rate=5e-4, depth=4),
        "loops mirrored noisy parity prime rotated-180 upright modulo-3",
        14,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--make", type=Path)
    parser.add_argument("--run", type=Path, nargs="*", default=[])
    parser.add_argument("--fit", type=Path, default=RUN)
    arguments = parser.parse_args()
    fitted_on = load_run(arguments.fit)
    forecaster = Forecaster.fit(*fitted_on, warm=False)
    trained = training_rows(*fitted_on)
    runs = [*arguments.run]
    for number, name in enumerate(FAMILIES if arguments.make else ()):
        runs.append(make(name, arguments.make / f"family-{number}", forecaster))
    tables = {str(run): scored(forecaster, trained, *load_run(run)) for run in runs}
    found = pd.concat(tables, names=["family"])
    for title, levels in (("by method", ["family", "method"]), ("means over methods", ["family"])):
        print(f"\n{title}\n{found.groupby(level=levels, sort=False).mean().round(3).to_string()}")


def make(name: str, folder: Path, forecaster: Forecaster) -> Path:
    """One family of `FAMILIES`, with the metrics that the forecaster reads as its pair table."""
    print(f"{folder}: {name}", flush=True)
    recipe, tasks, seed = FAMILIES[name]
    only = tasks.split()
    run_suite("digits-14", folder, only=only, recipe=recipe, seed=seed, n_sets=0, tier="weights")
    models = {task: folder / f"models/{task}.safetensors" for task in only}
    keys = set().union(*(forecaster.reads(tier) for tier in forecaster.file.tiers))
    measured = measure(folder / "base.safetensors", models, tasks=folder, keys=keys, methods=SIX)
    measured.table(only).with_suite("digits-14").write(folder / "pairs.parquet")
    return folder


def scored(
    forecaster: Forecaster,
    trained: dict[str, TrainingRows],
    pairs: PairTable,
    outcomes: OutcomeTable,
) -> pd.DataFrame:
    """One row a method."""
    truth = outcomes.members().rename(columns={"retention": "truth"})
    keys = ["suite", *KEYS, "member"]
    rows = forecaster.forecast(pairs).rows.merge(truth, on=keys)
    cheap = forecaster.forecast(pairs.up_to("weights")).rows if pairs.tiers else None
    tables = {}
    for method, table in rows.groupby("method"):
        read = forecaster.file.methods[str(method)].model.offset  # type: ignore[attr-defined]
        members = member_rows(pairs, str(method))
        fit, two = trained[str(method)], [read, *PAIR]
        line = RetentionLinear(own=[read]).fit(fit.X[two], fit.y)
        said = {"as it is": members[read], "line": line.predict(members[two])}
        members = members.assign(**{name: np.clip(x, 0, fit.y.max()) for name, x in said.items()})
        table = table.merge(members, on=["suite", "left", "right", "member"])
        by_pair = table.groupby(["left", "right"])[
            ["as it is", "line", "retention", "truth"]
        ].mean()
        by_pair["own mean"] = by_pair["truth"].mean()
        errors = by_pair.drop(columns="truth").sub(by_pair["truth"], axis=0).abs().mean()
        inside = table["truth"].between(table["lower"], table["upper"]).mean()
        numbers = {**errors.rename({"retention": "forecaster"}), "inside": inside}
        if cheap is not None:
            numbers["weights"] = cheap[cheap["method"] == method]["retention"].notna().mean()
        tables[str(method)] = numbers
    return pd.DataFrame(tables).T.rename_axis("method")


if __name__ == "__main__":
    main()
