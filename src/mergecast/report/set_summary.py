"""The part of a forecast's summary that is about sets of K models."""

from __future__ import annotations

from typing import cast

import pandas as pd

from mergecast.forecast.recommend import best_merges
from mergecast.forecast.sets import CHECKED, PAIRS, SUPERPOSED
from mergecast.report.set_model import BestSet, MethodSets, RankedSet, SetSummary
from mergecast.tables.plain import records
from mergecast.tables.sets import split_members

SHOWN = 20
"""Sets kept of each ranking."""

# What merged sets of digits-14 say (docs/analysis.md), and what nothing in a forecaster says.
RULE = (
    "Pieced together from pairs: beside several partners a member keeps the most that it keeps "
    "beside any one of them, less a factor for each other one. The forecaster was validated on "
    "pairs, so there is no interval. Compare the sets of one method with each other: what more "
    "models do to a method is not in the numbers, so they do not choose between methods."
)


ANSWERS = (
    "From the members' answers, whose shifts are added up. Up to three sets of every kind of "
    "models are really merged by each method; they say how strong members are in such a merge, "
    "and how far the sum is off. The interval (90 %) is of the mean over members."
)


def summarise_sets(sets: pd.DataFrame) -> SetSummary:
    """The best sets under each method.

    Parameters
    ----------
    sets : DataFrame
        All sets of one size, as `Forecast.sets`.

    Returns
    -------
    SetSummary
        With the first `SHOWN` sets of each ranking.
    """
    methods: list[MethodSets] = []
    for method, table in sets.groupby("method", sort=True):
        ranked = table.dropna(subset="retention").drop(columns="method")
        methods.append(
            {
                "method": str(method),
                "n_without": len(table) - len(ranked),
                "ranking": _ranking(ranked.head(SHOWN)),
            }
        )
    size = str(sets["members"].iloc[0]).count("+") + 1
    n_sets, known = sets["members"].nunique(), sets[sets["basis"] != PAIRS]
    answered = sets["basis"].isin([SUPERPOSED, CHECKED]).any()
    summary: SetSummary = {
        "size": size,
        "n_sets": n_sets,
        "rule": RULE,
        "best": [],
        "methods": methods,
    }
    if answered:
        best = best_merges(known).head(SHOWN).drop(columns="pair_mean")
        summary |= {"rule": ANSWERS, "best": cast("list[BestSet]", _plain(best))}
    return summary


def _ranking(table: pd.DataFrame) -> list[RankedSet]:
    columns = ["members", "retention", "pair_mean", "worst_member", "worst_retention"]
    return cast("list[RankedSet]", _plain(table[columns]))


def _plain(table: pd.DataFrame) -> list[dict[str, object]]:
    names = {"retention": "predicted", "worst_retention": "worst_predicted"}
    return records(table.assign(members=table["members"].map(split_members)).rename(columns=names))
