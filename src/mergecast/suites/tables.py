"""Finished units as tables: tasks, outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergecast.tables.missing import MissingOutcome
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.paired import retention_stderr
from mergecast.tables.sets import join_members

if TYPE_CHECKING:
    import pandas as pd

    from mergecast.suites.merges import Merge

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
    merges: Sequence[Merge],
    records: Sequence[Mapping[str, Any]],
    singles: Mapping[str, Mapping[str, Any]],
    *,
    suite: str,
    versions: Mapping[str, int],
    recipe: Mapping[str, Any],
) -> OutcomeTable:
    """One row a merged set and member, with the reasons of what is missing.

    Parameters
    ----------
    merges : sequence of Merge
        Recipe and members.
    records : sequence of mapping
        What is stored of them, in the same order.
    singles : mapping of str to mapping
        Task to what is stored of its single model.
    suite : str
        The suite column.
    versions, recipe : mapping
        See `OutcomeTable`.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    missing: list[MissingOutcome] = []
    for (by, members), record in zip(merges, records, strict=True):
        for task in members:
            merged, single = record["tasks"][task], singles[task]["single"]
            key: dict[str, Any] = {
                "suite": suite,
                "method": by.method,
                "recipe": by.label,
                "members": join_members(members),
                "task": task,
                "seed": by.seed,
            }
            rows.append({**key, **_values(merged, single), **_beside(singles[task])})
            missing += [
                MissingOutcome(**key, reason=reason, column=column)
                for column, reason in _reasons(merged, single).items()
            ]
    return OutcomeTable(pd.DataFrame(rows), missing=missing, versions=versions, recipe=recipe)


def samples_path(outcomes: str | Path) -> Path:
    """Where the scores of every sample stand beside a file of outcomes."""
    path = Path(outcomes)
    return path.with_name(f"{path.stem}.samples.parquet")


def samples_table(
    merges: Sequence[Merge],
    records: Sequence[Mapping[str, Any]],
    singles: Mapping[str, Mapping[str, Any]],
    *,
    suite: str,
) -> pd.DataFrame:
    """The scores of every sample, one row a row of `outcomes_table`; arguments as it takes them.

    `scores` of the merge and `single_scores` are lists in the order of the test samples, of no
    sample where there is no score. Written as Parquet, right and wrong take a bit each.
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "suite": suite,
            "method": by.method,
            "recipe": by.label,
            "members": join_members(members),
            "task": task,
            "seed": by.seed,
            "scores": list(record["tasks"][task]["samples"]),
            "single_scores": list(singles[task]["single"]["samples"]),
        }
        for (by, members), record in zip(merges, records, strict=True)
        for task in members
    )


def _values(merged: Mapping[str, Any], single: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of one member's row."""
    values = {
        key: scores["values"].get(quantity, _NAN)
        for quantity in ("score", "loss", "probability")
        for key, scores in ((quantity, merged), (f"single_{quantity}", single))
    }
    score = single["values"]["score"]
    retention = values["score"] / score if score > 0 else _NAN
    error = retention_stderr(merged.get("samples", ()), single.get("samples", ()))
    return {
        **values,
        "retention": retention,
        "retention_stderr": error,
        "n_eval": single["n_eval"],
    }


def _beside(record: Mapping[str, Any]) -> dict[str, float]:
    """What the member's single model is to be seen beside."""
    rate = record.get("majority")
    values = record.get("base", {}).get("values", {})
    return {"base_score": values.get("score", _NAN), "majority": _NAN if rate is None else rate}


def _reasons(merged: Mapping[str, Any], single: Mapping[str, Any]) -> dict[str, str]:
    """Why values are missing, by column; what is missing for the score's reason is not repeated."""
    reasons = dict(merged["missing"])
    of_score = reasons.pop("score", "")
    others = {column: reason for column, reason in reasons.items() if reason != of_score}
    if not of_score and single["values"]["score"] <= 0:
        of_score = "the single model's score is 0, so there is nothing to retain"
    return {"retention": of_score, **others} if of_score else others
