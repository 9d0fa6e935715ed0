"""What models score before merging, and how much of it the base has by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

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


def base_sentence(tasks: pd.DataFrame | None) -> Iterator[str]:
    """How much of the members' scores the base keeps: what a merge has to be better than."""
    if tasks is None:
        return
    shares = (tasks["base_score"] / tasks["single_score"]).set_axis(tasks["task"])
    shares = shares[(tasks["single_score"] > 0).to_numpy()].dropna().sort_values()
    if shares.empty:
        return
    ends = [(str(label), float(shares[label])) for label in (shares.index[0], shares.index[-1])]
    named = [f"{shown(share, 2)} ({label})" for label, share in dict(ends).items()]
    span = f"{named[0]} to {named[-1]}" if len(named) > 1 else named[0]
    yield (
        f"The base with the models' own heads has {span} of their scores: what a merge keeps is "
        "worth what it is above that."
    )
