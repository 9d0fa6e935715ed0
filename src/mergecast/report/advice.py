"""Which method the forecast would have chosen for each pair, and what that cost (regret)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mergecast.forecast.result import DO_NOT_MERGE, recommend
from mergecast.report.plain import number

PAIR = ["suite", "left", "right"]
# Retentions that differ by less are one and the same choice.
_EQUAL = 1e-9


def advice_rows(rows: pd.DataFrame, threshold: float) -> list[dict[str, Any]]:
    """The advice for each pair beside what was measured.

    Parameters
    ----------
    rows : DataFrame[suite, left, right, member, method, predicted, lower, measured]; `measured`
        may be missing throughout (new models), `lower` where there are no intervals.
    threshold : forecast retention of the worst member below which the advice is not to merge.

    Returns
    -------
    Dicts of `suite, left, right, advice, method, predicted, worst_member, worst_predicted, lower`
    and, where measured, `measured`, `worst_measured` (of the advised method), `best_method,
    best_measured` (in hindsight) and `regret` = best_measured − measured.
    """
    forecast = rows.rename(columns={"predicted": "retention"})
    # `recommend` breaks ties by the lower bound; without intervals the forecast itself stands in.
    forecast["lower"] = forecast["lower"].fillna(forecast["retention"])
    table = recommend(forecast, threshold)
    by_pair = dict(iter(rows.groupby(PAIR, sort=False)))
    found = []
    for entry in table.to_dict("records"):
        members = by_pair[entry["suite"], entry["left"], entry["right"]]
        advice = {
            **{key: entry[key] for key in PAIR},
            "advice": entry["advice"],
            "method": entry["method"],
            "predicted": number(entry["retention"]),
            "worst_member": entry["worst_member"],
            "worst_predicted": number(entry["worst_retention"]),
            "lower": number(entry["lower"]),
        }
        found.append(advice | _measured(members, entry["method"]))
    return found


def advice_scores(
    advice: list[dict[str, Any]], baseline: list[dict[str, Any]], threshold: float
) -> dict[str, Any]:
    """How good the advice was, beside the advice of the constant forecast.

    Returns mean and largest `regret`, `share_best` (regret 0), the same of `baseline`, and the
    counts of merge / do-not-merge advice that was right: the advised method's worst member really
    kept at least `threshold`, or really did not.
    """
    merge = [a for a in advice if a["worst_measured"] is not None and a["advice"] != DO_NOT_MERGE]
    leave = [a for a in advice if a["worst_measured"] is not None and a["advice"] == DO_NOT_MERGE]
    return {
        "forecast": _regret(advice),
        "constant": _regret(baseline),
        "threshold": threshold,
        "n_merge": len(merge),
        "n_merge_right": sum(a["worst_measured"] >= threshold for a in merge),
        "n_leave": len(leave),
        "n_leave_right": sum(a["worst_measured"] < threshold for a in leave),
    }


def _measured(members: pd.DataFrame, method: str) -> dict[str, Any]:
    # skipna=False: a pair with an undefined member has no outcome.
    means = members.groupby("method", sort=True)["measured"].agg(
        lambda values: values.mean(skipna=False)
    )
    own = members.loc[members["method"] == method, "measured"]
    found: dict[str, Any] = {
        "measured": number(means.get(method)),
        "worst_measured": number(own.min(skipna=False)) if len(own) else None,
        "best_method": "",
        "best_measured": None,
        "regret": None,
    }
    if means.notna().any():
        best = str(means.idxmax())
        found["best_method"], found["best_measured"] = best, number(means[best])
        if found["measured"] is not None:
            found["regret"] = found["best_measured"] - found["measured"]
    return found


def _regret(advice: list[dict[str, Any]]) -> dict[str, Any] | None:
    regrets = np.array([a["regret"] for a in advice if a["regret"] is not None])
    if not regrets.size:
        return None
    return {
        "n_pairs": int(regrets.size),
        "mean": float(regrets.mean()),
        "max": float(regrets.max()),
        "share_best": float((regrets <= _EQUAL).mean()),
    }
