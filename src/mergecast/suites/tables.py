"""Finished units as the suite's tables: tasks, outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mergecast.tables.outcomes import MissingOutcome, OutcomeTable, join_members

if TYPE_CHECKING:
    import pandas as pd

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
    units: Sequence[OutcomeUnit],
    records: Sequence[Mapping[str, Any]],
    singles: Mapping[str, Mapping[str, Any]],
) -> OutcomeTable:
    """One row a merged set and member, with the reason where a score or retention is NaN.

    Parameters
    ----------
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
            row, reason = _outcome(unit, task, record["tasks"][task], singles[task]["single"])
            rows.append(row)
            if reason:
                names = ("suite", "method", "members", "task", "seed")
                missing.append(MissingOutcome(**{n: row[n] for n in names}, reason=reason))
    return OutcomeTable(pd.DataFrame(rows), missing=missing)


def _outcome(
    unit: OutcomeUnit, task: str, merged: Mapping[str, Any], single: Mapping[str, Any]
) -> tuple[dict[str, Any], str]:
    """The row of one member, and why its score or retention is missing, if it is."""
    values = {
        key: scores["values"].get(quantity, _NAN)
        for quantity in ("score", "loss", "probability")
        for key, scores in ((quantity, merged), (f"single_{quantity}", single))
    }
    reason = merged["missing"].get("score", "")
    retention = _NAN
    if values["single_score"] > 0:
        retention = values["score"] / values["single_score"]
    else:
        reason = reason or "the single model's score is 0, so there is nothing to retain"
    row = {
        "suite": unit.run.suite_name,
        "method": unit.method,
        "members": join_members(unit.members),
        "task": task,
        **values,
        "retention": retention,
        "n_eval": single["n_eval"],
        "seed": unit.run.seed,
    }
    return row, reason
