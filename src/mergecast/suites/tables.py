"""Finished units as the suite's tables: tasks, outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mergecast.tables.missing import MissingOutcome
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.sets import join_members

if TYPE_CHECKING:
    import pandas as pd

    from mergecast.suites.plan import RunPlan
    from mergecast.suites.units import OutcomeUnit

_NAN = float("nan")


def tasks_table(singles: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row a task: base, fine-tuned and majority score, and the sizes of its splits.

    Parameters
    ----------
    singles : mapping of str to mapping
        Task to what is stored of its single model; `evaluate_single` says what.
    """
    import pandas as pd

    rows = [
        {
            "task": task,
            "base_score": record["base"]["values"].get("score", _NAN),
            "single_score": record["single"]["values"]["score"],
            "majority": _NAN if record["majority"] is None else record["majority"],
            "n_train": record["sizes"].get("train", _NAN),
            "n_calibration": record["sizes"].get("calibration", _NAN),
            "n_eval": record["single"]["n_eval"],
            "n_classes": record["single"]["n_classes"],
        }
        for task, record in singles.items()
    ]
    return pd.DataFrame(rows)


def outcomes_table(
    plan: RunPlan,
    units: Sequence[OutcomeUnit],
    records: Sequence[Mapping[str, Any]],
    singles: Mapping[str, Mapping[str, Any]],
) -> OutcomeTable:
    """One row a merged set and member, with the reasons of what is missing.

    Parameters
    ----------
    plan : RunPlan
        The run: its recipe and versions go into the table.
    units : sequence of OutcomeUnit
        The merges.
    records : sequence of mapping
        What is stored of them, in the same order.
    singles : mapping of str to mapping
        Task to what is stored of its single model.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    missing: list[MissingOutcome] = []
    for unit, record in zip(units, records, strict=True):
        for task in unit.members:
            merged, single = record["tasks"][task], singles[task]["single"]
            key = _key(unit, task)
            rows.append({**key, **_values(merged, single)})
            missing += [
                MissingOutcome(**key, reason=reason, column=column)
                for column, reason in _reasons(merged, single).items()
            ]
    return OutcomeTable(
        pd.DataFrame(rows),
        missing=missing,
        versions=plan.stages(),
        recipe={"suite": plan.run.recipe.model_dump(mode="json")},
    )


def _key(unit: OutcomeUnit, task: str) -> dict[str, Any]:
    return {
        "suite": unit.run.suite_name,
        "method": unit.method,
        "members": join_members(unit.members),
        "task": task,
        "seed": unit.run.seed,
    }


def _values(merged: Mapping[str, Any], single: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of one member's row."""
    values = {
        key: scores["values"].get(quantity, _NAN)
        for quantity in ("score", "loss", "probability")
        for key, scores in ((quantity, merged), (f"single_{quantity}", single))
    }
    score = single["values"]["score"]
    retention = values["score"] / score if score > 0 else _NAN
    return {**values, "retention": retention, "n_eval": single["n_eval"]}


def _reasons(merged: Mapping[str, Any], single: Mapping[str, Any]) -> dict[str, str]:
    """Why values are missing, by column; what is missing for the score's reason is not repeated."""
    reasons = dict(merged["missing"])
    of_score = reasons.pop("score", "")
    others = {column: reason for column, reason in reasons.items() if reason != of_score}
    if not of_score and single["values"]["score"] <= 0:
        of_score = "the single model's score is 0, so there is nothing to retain"
    return {"retention": of_score, **others} if of_score else others
