"""Strengths of a family's merges, forecast from stored answers and a few merges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mergecast.evidence.session import Session
from mergecast.forecast.strengths import StrengthForecast
from mergecast.merging.recipe import STRENGTH
from mergecast.tables.sets import split_members

#: The method whose curves choose better strengths than a fixed one (`benchmarks/strength.py`).
METHOD = "task_arithmetic"
#: Curves that are given of each size: of the sets that keep most.
_CURVES = 6


@dataclass(frozen=True)
class Strengths:
    """Strengths of a family's merges.

    Attributes
    ----------
    best : DataFrame
        Rows of `STRENGTH_COLUMNS`, by size, best first.
    curves : DataFrame
        Rows of `CURVE_COLUMNS`, of the first sets of each size.
    unjudged : mapping of str to str
        Label of every model that no merge here has, since what is kept of its answers is not
        defined, to the reason.
    """

    best: pd.DataFrame
    curves: pd.DataFrame
    unjudged: Mapping[str, str]


def forecast_strengths(session: Session, sizes: Sequence[int]) -> Strengths:
    """The best strength of `task_arithmetic` for every set of some sizes, and the best curves.

    Parameters
    ----------
    session : Session
        A family of two or more with tasks.
    sizes : sequence of int
        Members of the sets.

    Raises
    ------
    UndefinedError
        A merge cannot be made, or what is kept is defined of fewer than two models.
    """
    from mergecast.evidence.superposition.strengths import collect_strengths

    readings = collect_strengths(session, METHOD)
    curves = StrengthForecast(readings)
    default = session.recipe(METHOD).params[STRENGTH]
    tables = [curves.table(size, default) for size in sizes if size <= len(readings.alone)]
    drawn = [
        curves.points(split_members(one))
        for table in tables
        for one in table["members"].head(_CURVES)
    ]
    best, points = (pd.concat(some, ignore_index=True) for some in (tables, drawn))
    return Strengths(best, points, readings.unjudged)
