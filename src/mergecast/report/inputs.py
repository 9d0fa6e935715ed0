"""What a run folder holds for its report: both tables, the task table and `suite.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mergecast.errors import TableError, UsageError
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from mergecast.tables.runs import load_run
from mergecast.tables.schema import about, float_column, require_columns, text_column

TASK_SCORES = ["base_score", "single_score", "majority"]


@dataclass(frozen=True)
class RunInputs:
    """The measured side of a report.

    Attributes
    ----------
    pairs, outcomes : PairTable, OutcomeTable
        Tables as in `mergecast.tables`.
    tasks : DataFrame or None
        DataFrame[task, base_score, single_score, majority, ...], scores in [0, 1]; None where the
        run did not write one.
    suite : dict of str to object
        Content of ``suite.json`` (suite, seed, recipe, versions); empty where there is none.
    """

    pairs: PairTable
    outcomes: OutcomeTable
    tasks: pd.DataFrame | None = None
    suite: dict[str, Any] = field(default_factory=dict)


def read_inputs(folder: str | Path) -> RunInputs:
    """Read a run folder; `tasks.parquet` and `suite.json` may be absent, but not broken.

    Raises
    ------
    TableError, UsageError, ResourceError
        As `load_run`; a task table or a `suite.json` that cannot be read.
    """
    folder = Path(folder)
    pairs, outcomes = load_run(folder)
    tasks = read_tasks(folder)
    return RunInputs(
        pairs, outcomes, _tasks_of(outcomes) if tasks is None else tasks, _suite(folder)
    )


def _tasks_of(outcomes: OutcomeTable) -> pd.DataFrame | None:
    """The task table that `mergecast measure` keeps beside its outcomes; None where it is not."""
    if not {*TASK_SCORES} <= {*outcomes.frame.columns}:
        return None
    tasks = outcomes.frame[["task", *TASK_SCORES]].drop_duplicates("task")
    return tasks.sort_values("task", ignore_index=True)


def read_tasks(folder: str | Path) -> pd.DataFrame | None:
    """The task table of a run folder, see `RunInputs`; None where there is none."""
    path = Path(folder) / "tasks.parquet"
    if not path.exists():
        return None
    try:
        df = pd.read_parquet(path, engine="pyarrow").reset_index(drop=True)
    except (OSError, ValueError) as error:  # pyarrow's errors are among them
        raise TableError(path, f"not a Parquet file: {error}", "run the suite again") from error
    with about(path):
        require_columns(df, ["task", *TASK_SCORES], "tasks")
        checked = {key: float_column(df, key, "tasks", missing=True) for key in TASK_SCORES}
        return df.assign(task=text_column(df, "task", "tasks"), **checked)


def _suite(folder: Path) -> dict[str, Any]:
    path = folder / "suite.json"
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(path, f"cannot be read: {error}", "run the suite again") from error
    if not isinstance(content, dict):
        raise UsageError(path, "is not a JSON object", "run the suite again")
    return content
