"""Measured merges beside what was forecast of them, as data, in a sentence and as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import pandas as pd

from mergecast.report.measured_model import MeasuredMember, MeasuredSummary
from mergecast.report.table import Table, number, percent
from mergecast.tables.plain import number as finite
from mergecast.tables.plain import records

#: The two forecasts, the one that knows more last.
BEFORE, OTHERS = "before", "others"
#: Members of the table; the page and the JSON hold all.
_MOST = 20
_MERGE = ["suite", "method", "left", "right"]


def summarise_measured(beside: pd.DataFrame, level: float) -> MeasuredSummary:
    """Errors of forecasts of measured pairs.

    Parameters
    ----------
    beside : DataFrame
        `Forecast.beside`.
    level : float
        Nominal level of the intervals.
    """
    table = beside.assign(**{f"{name}_inside": _inside(beside, name) for name in (BEFORE, OTHERS)})
    errors = {name: _error(table, name) for name in (BEFORE, OTHERS, "mean")}
    told = next((name for name in (OTHERS, BEFORE) if errors[name] is not None), "")
    judged = table[f"{told}_inside"].dropna() if told else pd.Series(dtype=bool)
    n_merges = len(table[_MERGE].drop_duplicates())
    return {
        "n_merges": n_merges,
        "n_members": len(table),
        "before_error": errors[BEFORE],
        "others_error": errors[OTHERS],
        "mean_error": errors["mean"],
        "inside_of": told,
        "n_inside": int(judged.sum()),
        "n_intervals": len(judged),
        "sentence": _sentence(n_merges, errors, int(judged.sum()), len(judged), level),
        "members": cast("list[MeasuredMember]", records(table)),
    }


def measured_parts(summary: MeasuredSummary) -> Iterator[Table | str]:
    """The members as a table, those that were forecast worst first."""
    members = sorted(summary["members"], key=_worst_first)
    rows = [
        [
            f"{one['left']} + {one['right']}",
            one["method"],
            one["member"],
            *(number(one[name]) for name in (BEFORE, OTHERS)),  # type: ignore[literal-required]
            number(one["measured"]),
        ]
        for one in members[:_MOST]
    ]
    left = len(members) - len(rows)
    caption = f"{left} that were forecast better are left out; all of them: --json" if left else ""
    columns = ["pair", "method", "member", "forecast before", "from others", "measured"]
    title = "Measured merges beside forecasts that did not know them"
    yield Table(title, columns, rows, keys=3, caption=caption)


def _inside(beside: pd.DataFrame, name: str) -> pd.Series:
    """Whether what was measured lies in the interval; None where there is none."""
    low, high = beside[f"{name}_lower"], beside[f"{name}_upper"]
    inside = (low <= beside["measured"]) & (beside["measured"] <= high)
    return inside.astype(object).where(low.notna() & high.notna(), None)


def _error(table: pd.DataFrame, name: str) -> float | None:
    return finite(np.abs(table[name] - table["measured"]).mean())


def _sentence(
    n_merges: int, errors: dict[str, float | None], n_inside: int, n_intervals: int, level: float
) -> str:
    """How far forecasts were off, each without what was measured of the pair."""
    head = f"{n_merges} measured merge{'s' if n_merges > 1 else ''}: "
    if errors[BEFORE] is None and errors[OTHERS] is None:
        return f"{head}nothing was forecast of them that does not rest on them."
    parts = []
    if errors[BEFORE] is not None:
        which = "any of them was" if n_merges > 1 else "it was"
        parts.append(f"mean error {errors[BEFORE]:.3f} as forecast before {which} measured")
    if errors[OTHERS] is not None:
        word = "" if parts else "mean error "
        parts.append(f"{word}{errors[OTHERS]:.3f} as forecast from the other pairs' merges")
    if errors["mean"] is not None:
        parts.append(f"{errors['mean']:.3f} by the mean of those")
    held = f"; {n_inside} of {n_intervals} members lie in their {percent(level)} interval"
    return f"{head}{', '.join(parts)}{held if n_intervals else ''}."


def _worst_first(member: MeasuredMember) -> tuple[bool, float]:
    forecast = member["before"] if member["others"] is None else member["others"]
    error = None if forecast is None else abs(forecast - member["measured"])
    return (error is None, -(error or 0.0))
