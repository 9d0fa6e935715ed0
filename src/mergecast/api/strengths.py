"""Strengths of a family's merges, forecast from stored answers and a few merges."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mergecast.errors import UndefinedError
from mergecast.evidence.session import Session
from mergecast.forecast.strengths import STRENGTH_COLUMNS, StrengthForecast
from mergecast.merging.recipe import STRENGTH


def forecast_strengths(
    session: Session, methods: Sequence[str], sizes: Sequence[int]
) -> tuple[pd.DataFrame, list[str]]:
    """The best strength of every set under each method, and why a method has none.

    Parameters
    ----------
    session : Session
        A family of two or more with tasks.
    methods : sequence of str
        Methods with a strength, or recipes of them.
    sizes : sequence of int
        Members of the sets.

    Returns
    -------
    DataFrame
        Rows of `STRENGTH_COLUMNS`, by size and method, best first.
    list of str
        A sentence for every method without curves.
    """
    from mergecast.evidence.retention.answers import kept_of
    from mergecast.evidence.superposition.collect import gather
    from mergecast.evidence.superposition.strengths import collect_strengths

    tables, missing = [], []
    names = sorted(session.family.names)
    shifts = gather(session, {label: kept_of(session, label) for label in names}, ())
    for method in methods:
        try:
            curves = StrengthForecast(collect_strengths(session, method, shifts))
            default = session.recipe(method).params[STRENGTH]
            tables += [curves.table(size, default) for size in sizes if size <= len(names)]
        except UndefinedError as error:
            missing.append(f"no strengths of {method}: {error}")
    none = pd.DataFrame(columns=STRENGTH_COLUMNS)
    return pd.concat(tables, ignore_index=True) if tables else none, missing
