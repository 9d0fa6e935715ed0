"""What predicts what on the measured suites, and whether the paper's claims hold on them.

python benchmarks/science.py [-o docs] [--gradients benchmarks/results]
                             [--run DIR …]

From the tables that come with the package alone; nothing is trained. --gradients is a folder of
gradients-*.csv, which gradients.py makes of suites whose own tables have no gradient metrics. It
writes
science-shares.svg and science-metrics.svg to the folder of -o. Printed:

shares     variance of what a member keeps: the model's own part, its partner's, the pair's, and
           noise of the test samples (two-way effects of ordered pairs, corrected for their own
           error; parts below zero are zero)
metrics    r of a metric with a pair's retention, mean over six methods, lowest and highest; in how
           many of them Mantel's test, corrected for the number of metrics, has q < 0.05; and the
           highest r that the noise of the outcomes allows
signs      metrics whose mean r is beyond 0.2 in two suites with different signs
agreement  the paper's: the Lasso's five strongest metrics and its signs, between every two methods
unseen     error with both tasks unseen, over the constant's, mean over six methods: ridge on the
           paper's metrics, all, by group and without one; superposition as it is
gradients  the same of least squares on superposition, and with one gradient metric more
"""

from __future__ import annotations

import argparse
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

import mergecast as mc
from mergecast.analysis.groups import PAPER_GROUPS, PAPER_KEYS
from mergecast.analysis.individual import individual_correlations
from mergecast.analysis.signatures import (
    TOP_K,
    fold_coefficients,
    mean_coefficients,
    sign_agreement,
    top_overlap,
)
from mergecast.analysis.variance import metric_shares
from mergecast.forecast.estimators.predictors import PREDICTORS
from mergecast.forecast.shipped import measured_folders
from mergecast.forecast.training import training_rows
from mergecast.forecast.validation.ceiling import ceilings
from mergecast.suites.encoders.encoder_suite import RECIPES
from mergecast.suites.merges import SIX
from mergecast.tables.columns import Column
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PAIR_KEYS, PairTable
from science_fits import GRADIENT_INTERFERENCE, paper, print_gradients, print_unseen
from science_pictures import draw_metrics, draw_shares

OURS = (
    "superposed_expected_labelled",
    "superposed_expected_unlabelled",
    "retention_scrambled_expected_unlabelled",
    "base_expected_unlabelled",
    "interference_crosstalk",
    "interference_input_energy",
    "interference_sign_conflict",
    *GRADIENT_INTERFERENCE,
)
PARTS = ("own", "partner", "pair", "noise")
PERMUTATIONS = 499
_FLIP, _SIGNIFICANT = 0.2, 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("docs"))
    parser.add_argument("--gradients", type=Path, default=Path("benchmarks/results"))
    parser.add_argument(
        "--run", nargs="+", type=Path, help="other runs than those of the package, by folder"
    )
    arguments = parser.parse_args()
    start = time.perf_counter()
    suites = {}
    for folder in arguments.run or measured_folders():
        pairs, outcomes = mc.load_run(folder)
        pairs = with_gradients(pairs, arguments.gradients)
        suites[folder.name if arguments.run else pairs.suites[0]] = (pairs, outcomes)
    shares = {name: member_shares(outcomes) for name, (_, outcomes) in suites.items()}
    print_shares(shares)
    found = {name: metric_table(*tables) for name, tables in suites.items()}
    most = {name: ceilings(outcomes) for name, (_, outcomes) in suites.items()}
    print_metrics(found, most, {name: metric_shares(pairs) for name, (pairs, _) in suites.items()})
    print_flips(found)
    print_agreement(suites, found)
    print_unseen(suites)
    print_gradients(suites)
    draw_shares(shares, PARTS, arguments.out / "science-shares.svg")
    limits = {name: float(some.reindex(SIX).mean()) for name, some in most.items()}
    keys = keys_of(found)
    groups = [[key for key in keys if key in OURS], [key for key in keys if key not in OURS]]
    draw_metrics(found, limits, groups, arguments.out / "science-metrics.svg")
    print(f"\n{time.perf_counter() - start:.0f} s")


def with_gradients(pairs: PairTable, folder: Path) -> PairTable:
    """The table with the gradient metrics of the file that is of this suite, if it lacks them."""
    for path in sorted(folder.glob("gradients-*.csv")):
        more = pd.read_csv(path)
        if set(more["suite"]) != set(pairs.suites) or set(pairs.metrics) & set(more.columns):
            continue
        frame = pairs.frame.merge(more, on=PAIR_KEYS, how="left", validate="one_to_one")
        tiers = dict(pairs.tiers) | dict.fromkeys(more.columns.drop(PAIR_KEYS), "gradients")
        return PairTable.from_pandas(frame, tiers=tiers)
    return pairs


def member_shares(outcomes: OutcomeTable) -> pd.DataFrame:
    """`PARTS` of the variance by recipe, and the standard deviation of what members keep."""
    frame = outcomes.by_recipe[outcomes.sizes == 2]
    ends = frame["members"].str.split("+", expand=True)
    partner = ends[0].where(ends[1] == frame["task"], ends[1])
    frame = frame.assign(partner=partner).dropna(subset=["retention"])
    rows = {str(method): _parts(one) for method, one in frame.groupby("method")}
    table = pd.DataFrame(rows).T
    return table.reindex([one for one in RECIPES if one in table.index])


def _parts(rows: pd.DataFrame) -> dict[str, float]:
    """y_ij = μ + own_i + partner_j + pair_ij + noise, least squares."""
    own, partner = (
        pd.get_dummies(rows[key], dtype=float).to_numpy() for key in ("task", "partner")
    )
    y = rows["retention"].to_numpy()
    design = np.hstack([own, partner])
    effects, _, rank, _ = np.linalg.lstsq(design, y - y.mean(), rcond=None)
    rest = float(np.sum((y - y.mean() - design @ effects) ** 2) / (len(y) - rank))
    n = own.shape[1]
    # A mean over n - 1 partners has this share of the rest in its own variance.
    parts = [float(np.var(side, ddof=1)) - rest / (n - 1) for side in (effects[:n], effects[n:])]
    noise = min(float((rows["retention_stderr"] ** 2).mean()), rest)
    values = np.maximum([*parts, rest - noise, noise], 0.0)
    return dict(zip(PARTS, values / values.sum(), strict=True)) | {"sd": float(y.std())}


def print_shares(shares: dict[str, pd.DataFrame]) -> None:
    print("What a member keeps: share of its own part / the partner's / the pair's / noise; sd\n")
    print(f"{'recipe':<30}" + "".join(f"{name:>30}" for name in shares))
    for method in [one for one in RECIPES if all(one in table.index for table in shares.values())]:
        cells = []
        for table in shares.values():
            row = table.loc[method]
            cells.append("/".join(f"{100 * row[part]:.0f}" for part in PARTS) + f"  {row.sd:.3f}")
        print(f"{method:<30}" + "".join(f"{cell:>30}" for cell in cells))


def metric_table(pairs: PairTable, outcomes: OutcomeTable) -> pd.DataFrame:
    """One row a metric: `r, low, high, significant, methods`, and `by_method`."""
    wanted = {*PAPER_KEYS, *OURS}
    pairs = pairs.only([c for c in pairs.metrics if Column.parse(c).name in wanted])
    single = individual_correlations(pairs, outcomes, list(SIX), PERMUTATIONS)
    rows = {}
    for key, some in single.groupby("metric"):
        r = some.set_index("method")["r"].dropna()
        if len(r):
            rows[str(key)] = {
                "r": r.mean(), "low": r.min(), "high": r.max(), "methods": len(r),
                "significant": int((some["q_mantel"] < _SIGNIFICANT).sum()), "by_method": r,
            }  # fmt: skip
    return pd.DataFrame(rows).T


def keys_of(found: dict[str, pd.DataFrame]) -> list[str]:
    there = set().union(*(table.index for table in found.values()))
    return [key for key in (*OURS, *PAPER_KEYS) if key in there]


def print_metrics(
    found: dict[str, pd.DataFrame], most: dict[str, pd.Series], additive: dict[str, dict]
) -> None:
    print("\n\nr with a pair's retention: mean over six methods [lowest, highest] significant in\n")
    print(f"{'metric':<46}" + "".join(f"{name:>30}" for name in found))
    limits = [f"{most[name].reindex(SIX).mean():.2f}" for name in found]
    print(f"{'highest that noise allows':<46}" + "".join(f"{cell:>30}" for cell in limits))
    for key in keys_of(found):
        print(f"{key:<46}" + "".join(f"{_cell(table, key):>30}" for table in found.values()))
    print("\nAdditive share of the paper's gradient metrics: how far a pair's value is two models'")
    for key in PAPER_GROUPS["gradient"]:
        cells = [f"{some[key]:.2f}" if key in some else "–" for some in additive.values()]
        print(f"{key:<46}" + "".join(f"{cell:>30}" for cell in cells))


def _cell(table: pd.DataFrame, key: str) -> str:
    if key not in table.index:
        return "–"
    row = table.loc[key]
    return f"{row.r:+.2f} [{row.low:+.2f}, {row.high:+.2f}] {row.significant}/{row.methods}"


def print_flips(found: dict[str, pd.DataFrame]) -> None:
    print(f"\n\nMetrics whose mean r is beyond {_FLIP} with different signs\n")
    for key in keys_of(found):
        r = {name: table["r"].get(key, np.nan) for name, table in found.items()}
        large = {name: value for name, value in r.items() if abs(value) > _FLIP}
        if len({value > 0 for value in large.values()}) > 1:
            print(f"{key:<46}" + "".join(f"  {n} {v:+.2f}" for n, v in large.items()))


def print_agreement(suites: dict, found: dict[str, pd.DataFrame]) -> None:
    print("\n\nBetween methods: the Lasso's five strongest of the paper's metrics, and signs\n")
    head = ("suite", "metrics", "top 5", "by chance", "Lasso signs", "signs of single r")
    print(f"{head[0]:<30}" + "".join(f"{one:>19}" for one in head[1:]))
    tops = {}
    for name, (pairs, outcomes) in suites.items():
        rows = training_rows(paper(pairs), outcomes, list(SIX))
        means = mean_coefficients(
            {m: fold_coefficients(one, PREDICTORS.get("lasso").make()) for m, one in rows.items()}
        )
        single = pd.DataFrame({key: row.by_method for key, row in found[name].iterrows()
                               if key in PAPER_KEYS}).T  # fmt: skip
        values = (
            f"{len(means)}", f"{top_overlap(means):.0%}", f"{TOP_K / len(means):.0%}",
            f"{sign_agreement(means):.0%}", f"{sign_agreement(single.dropna()):.0%}",
        )  # fmt: skip
        print(f"{name:<30}" + "".join(f"{one:>19}" for one in values))
        strongest = [set(c.abs().nlargest(TOP_K).index) for _, c in means.items()]
        tops[name] = pd.Series([k for top in strongest for k in top]).value_counts()
    print("\nOften among the five strongest (of six methods)")
    for name, counts in tops.items():
        print(f"{name:<30}" + ", ".join(f"{key} {n}" for key, n in counts.head(6).items()))
    print("\nTop five shared between suites, mean over methods' counts of three and more")
    for a, b in combinations(tops, 2):
        often = [set(tops[one][tops[one] >= 3].index) for one in (a, b)]
        print(f"  {a}, {b}: {', '.join(sorted(often[0] & often[1])) or 'none'}")


if __name__ == "__main__":
    main()
