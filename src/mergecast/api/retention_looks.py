"""Looks at merges of a model in training, as rows, as what is logged, and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from mergecast.display.table import Column, Table, decimals, frame_table
from mergecast.errors import UndefinedError, UsageError
from mergecast.forecast.intervals import LEVEL

if TYPE_CHECKING:
    from mergecast.checkpoints.checkpoint import Checkpoint
    from mergecast.search.judge import Seen
    from mergecast.search.partners import PartnerMerges, Reference
    from mergecast.tasks.task import Task

#: What is logged: a prefix, then the partner's label. The model's own retention, the partner's, and
#: the time all this took as a share of the training's.
OWN, PARTNER, OVERHEAD = "merge_retention", "partner_retention", "merge_retention_overhead"
COLUMNS = ["step", "partner", "model", "kept", "lower", "upper", "own", "samples", "note"]
#: A value for each of `COLUMNS`.
Row: TypeAlias = dict[str, Any]


def look(merges: PartnerMerges, live: Checkpoint, step: int) -> list[Row]:
    """Two rows a partner: what the model keeps, and what the partner does.

    Parameters
    ----------
    merges : PartnerMerges
        Prepared.
    live : Checkpoint
        The model as it is now.
    step : int
        Of its training.

    Raises
    ------
    FamilyError, CheckpointError, UsageError
        It cannot be merged with a partner, or not run on its task.
    UndefinedError
        It has no score on its own task.
    """
    rows: list[Row] = []
    own = merges.reference(merges.label, live)
    for partner in merges.partners:
        try:
            seen = merges.kept(live, own, partner)
        except UndefinedError as reason:
            rows.append(nothing(step, merges.label, partner, reason))
            continue
        members = {merges.label: own, partner: merges.finished(partner)}
        rows += _rows(step, partner, seen, members)
    return rows


def nothing(step: int, label: str, partner: str, reason: Exception) -> Row:
    """The row of a look that gives no number of a partner, with the reason."""
    row: Row = dict.fromkeys(COLUMNS, np.nan)
    said = {"step": step, "partner": partner, "model": label, "samples": 0, "note": str(reason)}
    return row | said


def logged(rows: Sequence[Row], label: str) -> dict[str, float]:
    """What a trainer logs of a look: a number for each that there is."""
    values = {}
    for row in rows:
        if not row["note"]:
            kind = OWN if row["model"] == label else PARTNER
            values[f"{kind}/{row['partner']}"] = float(row["kept"])
    return values


def latest(history: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last look."""
    last: pd.DataFrame = history.loc[history["step"] == history["step"].max()]
    return last


def latest_table(history: pd.DataFrame) -> Table:
    """The same as it is shown."""
    names = [Column(key, key) for key in ("step", "partner", "model")]
    numbers = [Column(key, key, decimals(3)) for key in ("kept", "lower", "upper", "own")]
    rest = [Column(key, key) for key in ("samples", "note")]
    title = f"The last look, {LEVEL:.0%} intervals"
    return frame_table(title, latest(history), [*names, *numbers, *rest], keys=3)


def training_label(given: str | None, tasks: Mapping[str, Task], partners: list[str]) -> str:
    """What the model in training is called among the tasks; raises UsageError where none says."""
    for partner in partners:
        if partner not in tasks:
            raise UsageError.unknown("task of model", partner, tasks)
    others = sorted(set(tasks) - set(partners))
    if given is None and len(others) != 1:
        said = f"are {', '.join(others)}" if others else "are all of partners"
        raise UsageError("tasks", said, "say with label= which is of the model in training")
    name = others[0] if given is None else given
    if name not in others:
        raise UsageError.unknown("task of the model in training", name, others)
    return name


def _rows(step: int, partner: str, seen: Seen, members: dict[str, Reference]) -> list[Row]:
    rows = []
    numbers = np.column_stack([seen.kept, *seen.interval(LEVEL)]).tolist()
    for (name, reference), kept in zip(members.items(), numbers, strict=True):
        own, count = float(reference.scores.mean()), len(reference.scores)
        values = (step, partner, name, *kept, own, count, "")
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows
