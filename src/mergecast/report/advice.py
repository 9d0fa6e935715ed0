"""The advice for each pair as plain data, beside what was measured."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mergecast.report.plain import records

_NAMES = {"retention": "predicted", "worst_retention": "worst_predicted"}
_MEASURED = ["measured", "worst_measured", "best_method", "best_measured", "regret"]


def advice_records(advice: pd.DataFrame) -> list[dict[str, Any]]:
    """One dict a pair.

    Parameters
    ----------
    advice : DataFrame
        As `with_hindsight` returns, or `recommend` for models that were not merged.

    Returns
    -------
    list of dict
        `suite, left, right, method, predicted, lower, worst_member, worst_predicted, advice,
        measured, worst_measured` (of the advised method), `best_method, best_measured` (in
        hindsight) and `regret`; what was not measured is None.
    """
    unknown = dict.fromkeys(_MEASURED, None) | {"best_method": ""}
    return [{**unknown, **row} for row in records(advice.rename(columns=_NAMES))]
