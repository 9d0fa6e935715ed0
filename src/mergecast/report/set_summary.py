"""The part of a forecast's summary that is about sets of K models."""

from __future__ import annotations

from math import comb
from typing import Any

import pandas as pd

from mergecast.forecast.sets import rank_sets
from mergecast.report.plain import records

SHOWN = 20
"""Sets kept of each ranking."""

# Honest about what it is: nothing in a forecaster's validation is about larger sets.
RULE = (
    "Pieced together from the pairs: beside several partners a member keeps the most that it "
    "keeps beside any of them, less a factor for each other one. The forecaster was validated on "
    "pairs alone, so there are no intervals; trust the order of sets of one method more than the "
    "numbers, which know nothing of what a method does differently with more models."
)


def summarise_sets(rows: pd.DataFrame, models: list[str], size: int) -> dict[str, Any]:
    """Sets of `size` of the models, best forecast first: by the best method, and by each.

    Parameters
    ----------
    rows : member rows of one suite, as `Forecast.rows`.
    models : names of the models, two at least.
    size : members of a set.

    Returns
    -------
    Plain data: `size`, `n_sets` (there are), `shown` (of each ranking), `rule` in words, `best`
    and `methods` (method to ranking). A ranking holds dicts of `members` (names), `method`,
    `predicted` (mean retention by the rule), `pair_mean` (the plain mean over the set's pairs),
    `worst_member`, `worst_predicted`. A set with a pair that has no forecast under a method is
    not in it; `n_without` counts those without any method.

    Raises
    ------
    UsageError
        A size that is no number of these models, or of too many sets.
    """
    [suite] = rows["suite"].unique()
    tables = []
    for method in sorted(rows["method"].unique()):
        table = rank_sets(rows, str(suite), str(method), models, size)
        tables.append(table.assign(method=method).dropna(subset="retention"))
    found = pd.concat(tables, ignore_index=True)
    # Equal forecasts: the method first by name, as in the advice on a pair.
    order = ["retention", "members", "method"]
    found = found.sort_values(order, ascending=[False, True, True], ignore_index=True)
    best = found.drop_duplicates("members")
    count = comb(len(models), size)
    return {
        "size": size,
        "n_sets": count,
        "n_without": count - len(best),
        "shown": min(SHOWN, count),
        "rule": RULE,
        "best": _ranking(best),
        "methods": {
            str(method): _ranking(mine) for method, mine in found.groupby("method", sort=True)
        },
    }


def _ranking(table: pd.DataFrame) -> list[dict[str, Any]]:
    names = {"retention": "predicted", "worst_retention": "worst_predicted"}
    columns = ["members", "method", "predicted", "pair_mean", "worst_member", "worst_predicted"]
    found = records(table.head(SHOWN).rename(columns=names)[columns])
    return [{**entry, "members": entry["members"].split("+")} for entry in found]
