"""The part of a forecast's summary that is about sets of K models."""

from __future__ import annotations

from math import comb
from typing import cast

import pandas as pd

from mergecast.forecast.sets import rank_sets
from mergecast.report.model import MethodSets, RankedSet, SetSummary
from mergecast.report.plain import records

SHOWN = 20
"""Sets kept of each ranking."""

# What merged sets of digits-14 say (docs/analysis.md), and what nothing in a forecaster says.
RULE = (
    "Pieced together from pairs: beside several partners a member keeps the most that it keeps "
    "beside any one of them, less a factor for each other one. The forecaster was validated on "
    "pairs, so there is no interval. Compare the sets of one method with each other: what more "
    "models do to a method is not in the numbers, so they do not choose between methods."
)


def summarise_sets(rows: pd.DataFrame, models: list[str], size: int) -> SetSummary:
    """Sets of `size` of the models under each method, best forecast first.

    Parameters
    ----------
    rows : DataFrame
        Member rows of one suite, as `Forecast.rows`.
    models : list[str]
        Names of the models, two at least.
    size : int
        Members of a set.

    Returns
    -------
    SetSummary
        The first `SHOWN` sets of each ranking.

    Raises
    ------
    UsageError
        A size that is no number of these models, or of too many sets.
    """
    [suite] = rows["suite"].unique()
    methods: list[MethodSets] = []
    for method in sorted(rows["method"].unique()):
        table = rank_sets(rows, str(suite), str(method), models, size)
        ranked = table.dropna(subset="retention")
        methods.append(
            {
                "method": str(method),
                "n_without": len(table) - len(ranked),
                "ranking": _ranking(ranked.head(SHOWN)),
            }
        )
    return {"size": size, "n_sets": comb(len(models), size), "rule": RULE, "methods": methods}


def _ranking(table: pd.DataFrame) -> list[RankedSet]:
    names = {"retention": "predicted", "worst_retention": "worst_predicted"}
    table = table.assign(members=table["members"].str.split("+")).rename(columns=names)
    return cast("list[RankedSet]", records(table))
