"""The advice for each pair as plain data, beside what was measured."""

from __future__ import annotations

from typing import cast

import pandas as pd

from mergecast.report.model import PairAdvice
from mergecast.tables.plain import records

_NAMES = {"retention": "predicted", "worst_retention": "worst_predicted"}
_MEASURED = ["measured", "worst_measured", "best_method", "best_measured", "regret"]


def advice_records(advice: pd.DataFrame) -> list[PairAdvice]:
    """One dict a pair.

    Parameters
    ----------
    advice : DataFrame
        As `with_hindsight` returns, or `recommend` for models that were not merged.

    Returns
    -------
    list of PairAdvice
        What was not measured is None.
    """
    unmeasured = dict.fromkeys(_MEASURED, None) | {"best_method": ""}
    rows = records(advice.rename(columns=_NAMES))
    return [cast("PairAdvice", {**unmeasured, **row}) for row in rows]
