"""Member rows of a summary put together by pair, as tables and pictures show them."""

from __future__ import annotations

from typing import Any


def pair_entries(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry a (pair, method): the pair's forecast and outcome, and its members' rows.

    Returns dicts of `suite, left, right, method, predicted, measured` (means over the two members,
    None where one is missing), `error` (predicted − measured), `members` (left's row, right's),
    `reasons` (of the member with the lower forecast) and `advised` (this method is the advice).
    """
    grouped: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in summary["rows"]:
        key = (row["suite"], row["left"], row["right"], row["method"])
        grouped.setdefault(key, []).append(row)
    advised = {(a["suite"], a["left"], a["right"], a["method"]) for a in summary["pairs"]}
    found = []
    for (suite, left, right, method), members in sorted(grouped.items()):
        members.sort(key=lambda row: row["member"] != row["left"])
        predicted, measured = _mean(members, "predicted"), _mean(members, "measured")
        worst = members[0]
        if predicted is not None:
            worst = min(members, key=lambda row: row["predicted"])
        found.append(
            {
                "suite": suite,
                "left": left,
                "right": right,
                "method": method,
                "predicted": predicted,
                "measured": measured,
                "error": None if predicted is None or measured is None else predicted - measured,
                "members": members,
                "reasons": worst["reasons"],
                "advised": (suite, left, right, method) in advised,
            }
        )
    return found


def _mean(members: list[dict[str, Any]], key: str) -> float | None:
    values = [row[key] for row in members]
    return None if None in values else sum(values) / len(values)
