"""Strengths of a family's merges, forecast from stored answers and a few merges."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mergecast.evidence.session import Session
from mergecast.forecast.strengths import StrengthForecast
from mergecast.merging.recipe import STRENGTH

#: The method whose curves choose better strengths than a fixed one (`benchmarks/strength.py`).
METHOD = "task_arithmetic"


def forecast_strengths(session: Session, sizes: Sequence[int]) -> pd.DataFrame:
    """The best strength of `task_arithmetic` for every set of some sizes.

    Parameters
    ----------
    session : Session
        A family of two or more with tasks.
    sizes : sequence of int
        Members of the sets.

    Returns
    -------
    DataFrame
        Rows of `STRENGTH_COLUMNS`, by size, best first.

    Raises
    ------
    UndefinedError
        What a model keeps is not defined.
    """
    from mergecast.evidence.superposition.strengths import collect_strengths

    curves = StrengthForecast(collect_strengths(session, METHOD))
    default = session.recipe(METHOD).params[STRENGTH]
    return pd.concat([curves.table(size, default) for size in sizes], ignore_index=True)
