"""What models score before merging, and how much of it the base has by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import pandas as pd

from mergecast.report.model import TaskRow
from mergecast.report.table import number as shown
from mergecast.tables.plain import number, records


def task_rows(tasks: pd.DataFrame | None) -> list[TaskRow]:
    """Task rows with `gain`: fine-tuned score above the better of base and commonest class."""
    rows = [] if tasks is None else records(tasks)
    for row in rows:
        floor = [row[key] for key in ("base_score", "majority") if row[key] is not None]
        single = row["single_score"]
        row["gain"] = number(single - max(floor)) if floor and single is not None else None
    return cast("list[TaskRow]", rows)


def floor_sentences(tasks: pd.DataFrame | None, threshold: float) -> Iterator[str]:
    """How much of the members' scores is had without a merge: what that has to be better than.

    Models of which always the commonest class has the share `threshold` or more are named, since a
    merge that keeps as much of them may have kept nothing.
    """
    if tasks is None:
        return
    scored = tasks[tasks["single_score"] > 0].set_index("task")
    own = scored["single_score"]
    base, commonest = (scored[key] / own for key in ("base_score", "majority"))
    shares = base.combine(commonest, np.fmax).dropna().sort_values()
    if shares.empty:
        return
    ends = [(str(label), float(shares[label])) for label in (shares.index[0], shares.index[-1])]
    named = [f"{shown(share, 2)} ({label})" for label, share in dict(ends).items()]
    span = f"{named[0]} to {named[-1]}" if len(named) > 1 else named[0]
    better = ", or always the commonest class," if commonest.notna().any() else ""
    yield (
        f"Without a merge the base with the models' own heads{better} has {span} of their scores: "
        "only what lies above that is gained by merging."
    )
    empty = commonest[commonest >= threshold]
    if len(empty):
        listed = ", ".join(f"{label} {shown(float(share), 2)}" for label, share in empty.items())
        yield (
            f"Always the commonest class has nearly all of the score of some ({listed}): of these "
            f"a merge that keeps {threshold:g} may keep nothing of what was learned."
        )
