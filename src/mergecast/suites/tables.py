"""Finished units as the suite's tables: tasks, outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mergecast.tables.outcomes import MissingOutcome, OutcomeTable, join_members

if TYPE_CHECKING:
    import pandas as pd

    from mergecast.suites.units import OutcomeUnit


def tasks_table(records: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row a task: base, fine-tuned and majority score, and the sizes of its splits."""
    import pandas as pd

    rows = []
    for task, record in records.items():
        size = record["size"]
        rows.append(
            {
                "task": task,
                "base_score": record["base"]["score"],
                "single_score": record["single"]["score"],
                "majority": size["majority"],
                "n_train": size["n_train"],
                "n_calibration": size["n_calibration"],
                "n_eval": size["n_eval"],
                "n_classes": size["n_classes"],
            }
        )
    return pd.DataFrame(rows)


def outcomes_table(
    units: Sequence[OutcomeUnit],
    records: Sequence[Mapping[str, Any]],
    models: Mapping[str, Mapping[str, Any]],
) -> OutcomeTable:
    """One row a merged set and member, with the reason where a score or retention is NaN.

    Parameters
    ----------
    units, records : the merges and what is stored for them, in one order.
    models : the records of the single models, by task.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    missing: list[MissingOutcome] = []
    for unit, record in zip(units, records, strict=True):
        for task in unit.members:
            single, merged = models[task]["single"], record["tasks"][task]
            row = {
                "suite": unit.run.suite_name,
                "method": unit.method,
                "members": join_members(unit.members),
                "task": task,
                "score": merged.get("score", float("nan")),
                "single_score": single["score"],
                "loss": merged.get("loss", float("nan")),
                "single_loss": single["loss"],
                "n_eval": single["n_eval"],
                "seed": unit.run.seed,
                "probability": merged.get("probability", float("nan")),
                "single_probability": single["probability"],
            }
            reason = merged.get("missing", "")
            if single["score"] > 0:
                row["retention"] = row["score"] / single["score"]
            else:
                row["retention"] = float("nan")
                reason = reason or "the single model's score is 0, so there is nothing to retain"
            if reason:
                names = ("suite", "method", "members", "task", "seed")
                missing.append(MissingOutcome(**{n: row[n] for n in names}, reason=reason))
            rows.append(row)
    return OutcomeTable(pd.DataFrame(rows), missing=missing)
