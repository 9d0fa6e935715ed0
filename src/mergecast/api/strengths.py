"""Strengths of a family's merges, forecast from stored answers and a few merges."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mergecast.evidence.session import Session
from mergecast.forecast.strengths import StrengthForecast
from mergecast.merging.recipe import STRENGTH
from mergecast.tables.sets import split_members

#: The method whose curves choose better strengths than a fixed one (`benchmarks/strength.py`).
METHOD = "task_arithmetic"


#: Curves that are given of each size: of the sets that keep most.
_CURVES = 6


def forecast_strengths(session: Session, sizes: Sequence[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The best strength of `task_arithmetic` for every set of some sizes, and the best curves.

    Parameters
    ----------
    session : Session
        A family of two or more with tasks.
    sizes : sequence of int
        Members of the sets.

    Returns
    -------
    best : DataFrame
        Rows of `STRENGTH_COLUMNS`, by size, best first.
    curves : DataFrame
        Rows of `CURVE_COLUMNS`, of the first sets of each size.

    Raises
    ------
    UndefinedError
        What a model keeps is not defined.
    """
    from mergecast.evidence.superposition.strengths import collect_strengths

    curves = StrengthForecast(collect_strengths(session, METHOD))
    default = session.recipe(METHOD).params[STRENGTH]
    tables = [curves.table(size, default) for size in sizes]
    drawn = [
        curves.points(split_members(one))
        for table in tables
        for one in table["members"].head(_CURVES)
    ]
    return pd.concat(tables, ignore_index=True), pd.concat(drawn, ignore_index=True)
