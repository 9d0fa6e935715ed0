"""Pictures of measured merges beside their forecasts, on the page of a forecast."""

from __future__ import annotations

from typing import Any

from mergecast.report import plots
from mergecast.report.measured_model import MeasuredMember
from mergecast.report.measured_summary import BEFORE, OTHERS
from mergecast.report.model import FamilySummary, MemberRow

#: All that was measured, whatever the method.
ALL = "any method"
_TITLES = {BEFORE: "Before any was measured", OTHERS: "From the other pairs' merges"}


def beside_panels(summary: FamilySummary) -> dict[str, Any]:
    """What the page draws of measured merges: `beside`, a list of groups to switch between.

    Of one method, or of all, a picture a forecast: before anything was measured, and from all other
    pairs. All have the same axes, so that they can be compared by eye. Empty where nothing was
    measured, or nothing forecast of it.
    """
    measured = summary.get("measured")
    members = measured["members"] if measured is not None else []
    rows = {name: [_row(one, name) for one in members] for name in _TITLES}
    rows = {
        name: some for name, some in rows.items() if any(r["predicted"] is not None for r in some)
    }
    every = [row for some in rows.values() for row in some]
    domain = plots.domain_of([v for row in every for v in (row["predicted"], row["measured"])])
    methods = sorted({row["method"] for row in every})
    groups = [ALL, *methods] if len(methods) > 1 else methods
    return {
        "beside": [
            {
                "method": group,
                "panels": [
                    _panel(name, [r for r in some if group in (ALL, r["method"])], domain)
                    for name, some in rows.items()
                ],
            }
            for group in groups
        ]
    }


def _panel(name: str, rows: list[MemberRow], domain: plots.Domain) -> dict[str, Any]:
    several = len({row["method"] for row in rows}) > 1
    return {"title": _TITLES[name], **plots.scatter(rows, domain, by_method=several)}


def _row(member: MeasuredMember, name: str) -> MemberRow:
    """A measured member as a run's page has it, by one of its forecasts."""
    forecast: dict[str, Any] = {
        "predicted": member[name],  # type: ignore[literal-required]
        "lower": member[f"{name}_lower"],  # type: ignore[literal-required]
        "upper": member[f"{name}_upper"],  # type: ignore[literal-required]
        "inside": member[f"{name}_inside"],  # type: ignore[literal-required]
    }
    return {
        "suite": member["suite"],
        "left": member["left"],
        "right": member["right"],
        "method": member["method"],
        "member": member["member"],
        "measured": member["measured"],
        "reasons": [],
        **forecast,  # type: ignore[typeddict-item]
    }
