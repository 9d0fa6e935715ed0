"""What another seed of fine-tuning changes: a suite's outcomes against the same suite's again.

python benchmarks/seeds.py --run DIR DIR …

Runs of one suite by other seeds, with the same tasks and recipes. Per recipe, over pairs of models:
r between the seeds' retention, the mean distance between them, what of it is sampling of test
samples (the mean distance that two measurements of the same merges would have), and the mean
distance from the seed's own mean. Means over all two seeds. A forecast that knows tasks, method and
how models were tuned, but not the models, cannot do better than another seed does. Then what a
forecaster that saw only measured suites of other kinds makes of each run, means over six methods.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

import mergecast as mc
from mergecast.forecast.rows import ROW_KEYS, kin
from mergecast.forecast.shipped import measured_folders
from mergecast.forecast.validation.ceiling import ceilings
from mergecast.forecast.validation.scoring import pearson
from mergecast.suites.merges import SIX
from mergecast.tables.outcomes import OutcomeTable

#: The mean distance of two draws of one normal distribution, in its standard deviations.
APART = 2 / np.sqrt(np.pi)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", nargs="+", type=Path, required=True)
    runs = parser.parse_args().run
    tables = [OutcomeTable.read(run / "outcomes.parquet") for run in runs]
    found = []
    for first, second in combinations(tables, 2):
        a, b = of_pairs(first), of_pairs(second)
        for recipe in sorted({*a.columns.levels[1]} & {*b.columns.levels[1]}):
            both = pd.concat([a.xs(recipe, axis=1, level=1), b.xs(recipe, axis=1, level=1)], axis=1)
            kept, noise = both["retention"].dropna(), both["variance"].dropna()
            x, y = kept.iloc[:, 0].to_numpy(), kept.iloc[:, 1].to_numpy()
            found.append(
                {
                    "recipe": recipe,
                    "pairs": len(kept),
                    "r": pearson(x, y),
                    "r at most": float(np.sqrt(ceilings(first)[recipe] * ceilings(second)[recipe])),
                    "between seeds": float(np.abs(x - y).mean()),
                    "of it sampling": float(APART * np.sqrt(noise.mean(axis=1)).mean()),
                    "from own mean": float(np.abs(np.stack([x - x.mean(), y - y.mean()])).mean()),
                }
            )
    table = pd.DataFrame(found).groupby("recipe").mean()
    print(f"{len(tables)} seeds of {tables[0].frame['suite'].iloc[0]}\n")
    print(pd.concat([table, table.mean().rename("mean").to_frame().T]).round(3).to_string())
    print(f"\n{forecasts(runs).round(3).to_string()}")


def forecasts(runs: list[Path]) -> pd.DataFrame:
    """Every run, with its samples' labels and without, forecast from suites of other kinds."""
    known_pairs, known = mc.load_run(*measured_folders())
    rows = []
    for run in runs:
        pairs, outcomes = mc.load_run(run)
        others = [one for one in known_pairs.suites if kin(one) != kin(pairs.suites[0])]
        forecaster = mc.Forecaster.fit(
            known_pairs.keep(known_pairs.frame["suite"].isin(others)),
            known.keep(known.frame["suite"].isin(others)),
            warm=False,
        )
        truth = outcomes.members().rename(columns={"retention": "measured"})
        for tier in ("labels", "activations"):
            told = forecaster.forecast(pairs.up_to(tier)).rows
            told = told[told["method"].isin(SIX)].merge(truth, on=[*ROW_KEYS, "method"])
            inside = told["measured"].between(told["lower"], told["upper"])
            means = told.groupby(["method", "left", "right"])[["retention", "measured"]].mean()
            own = means["measured"] - means.groupby("method")["measured"].transform("mean")
            rows.append(
                {
                    "run": run.name,
                    "tier": tier,
                    "r": np.mean(
                        [pearson(*m.to_numpy().T) for _, m in means.groupby(level="method")]
                    ),
                    "error": (means["retention"] - means["measured"]).abs().mean(),
                    "own mean's": own.abs().mean(),
                    "inside 90 %": inside.mean(),
                    "width": (told["upper"] - told["lower"]).mean(),
                }
            )
    return pd.DataFrame(rows).set_index("run")


def of_pairs(outcomes: OutcomeTable) -> pd.DataFrame:
    """Retention of pairs and the variance of its sampling; columns by recipe."""
    frame = outcomes.frame[outcomes.sizes == 2]
    members = frame.assign(variance=frame["retention_stderr"] ** 2)
    pairs = members.groupby(["members", "recipe"])[["retention", "variance"]].mean()
    pairs["variance"] /= 2
    return pairs.unstack()  # noqa: PD010  # two columns at once


if __name__ == "__main__":
    main()
