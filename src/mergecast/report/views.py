"""Member rows of a summary put together by pair, as the page's table and pictures show them."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TypedDict

from mergecast.report.model import MemberRow, Number, Reason, Summary


class PairEntry(TypedDict):
    """A pair under one method: means over its two members, None where one is missing.

    `error` is predicted − measured, `members` are left's row and right's, `reasons` those of the
    member with the lower forecast; `advised` says whether the method is the advice.
    """

    suite: str
    left: str
    right: str
    method: str
    predicted: Number
    measured: Number
    error: Number
    members: list[MemberRow]
    reasons: list[Reason]
    advised: bool


def pair_entries(summary: Summary) -> list[PairEntry]:
    """One entry a (suite, pair, method), sorted."""
    key = itemgetter("suite", "left", "right", "method")
    advised = {key(advice) for advice in summary["pairs"]}
    groups = groupby(sorted(summary["rows"], key=key), key=key)
    return [_entry(list(members), pair in advised) for pair, members in groups]


def _entry(members: list[MemberRow], advised: bool) -> PairEntry:
    members.sort(key=lambda row: row["member"] != row["left"])
    predicted = _mean([row["predicted"] for row in members])
    measured = _mean([row["measured"] for row in members])
    lowest = members[0]
    if predicted is not None:
        lowest = min(members, key=itemgetter("predicted"))
    return {
        "suite": lowest["suite"],
        "left": lowest["left"],
        "right": lowest["right"],
        "method": lowest["method"],
        "predicted": predicted,
        "measured": measured,
        "error": None if predicted is None or measured is None else predicted - measured,
        "members": members,
        "reasons": lowest["reasons"],
        "advised": advised,
    }


def _mean(values: list[Number]) -> Number:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if len(defined) == len(values) else None
