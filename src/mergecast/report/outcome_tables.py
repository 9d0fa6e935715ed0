"""What merges kept, by method and number of models: the end of a suite's run."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from mergecast.report.table import Column, Row, Table, decimals, frame_table, number
from mergecast.tables.outcomes import OutcomeTable

_FIGURES = (
    Column("count", "merges"),
    Column("mean", "mean", decimals(3)),
    Column("std", "std", decimals(3)),
    Column("min", "min", decimals(3)),
)


def retention_figures(outcomes: OutcomeTable) -> pd.DataFrame:
    """Mean retention of merges, in the order of the outcomes.

    Returns
    -------
    DataFrame
        `method`, `size` (members), `count`, `mean`, `std`, `min`: one row a method and size.
    """
    rows = outcomes.by_recipe.assign(size=outcomes.sizes)
    # skipna=False: a merge with an unevaluated member has no mean, it is not that of the others.
    means = rows.groupby(["method", "members", "size"], sort=False)["retention"].agg(
        lambda values: values.mean(skipna=False)
    )
    by_size = means.groupby(level=["method", "size"], sort=False)
    return by_size.agg(["count", "mean", "std", "min"]).reset_index()


def retention_parts(figures: pd.DataFrame) -> Iterator[Table]:
    """The pairs' figures by method, then those of larger sets, if there are any."""
    pairs, larger = figures[figures["size"] == 2], figures[figures["size"] > 2]
    method, size = Column("method", "method"), Column("size", "models")
    yield frame_table("Retention of a pair, by method", pairs, [method, *_FIGURES])
    title = "Retention of a larger set, by method and number of models"
    yield frame_table(title, larger, [method, size, *_FIGURES], keys=2)


def member_parts(outcomes: OutcomeTable) -> Iterator[Table]:
    """What every member of every merge kept, one row a merge, the sets in their order."""
    rows: list[Row] = []
    for members, of_set in outcomes.by_recipe.groupby("members", sort=False):
        rows += [None] if rows else []
        for method, part in of_set.groupby("method", sort=False):
            kept = part["retention"]
            errors = part.get("retention_stderr", pd.Series(float("nan"), index=part.index))
            cells = [
                f"{task} {number(value)}" + (f" ± {number(error)}" if error == error else "")
                for task, value, error in zip(part["task"], kept, errors, strict=True)
            ]
            bases = [number(one if one == one else None) for one in _kept_by_base(part)]
            worst = kept.min() if kept.notna().all() else None
            rows.append([str(members), str(method), *map("\n".join, (cells, bases)), number(worst)])
    yield Table(
        "What each member keeps of its own score (± standard error), and what the base has of it",
        ["merged", "method", "kept", "base", "worst"],
        rows,
        keys=2,
        caption="\n".join(dict.fromkeys(f"{m.task}: {m.reason}" for m in outcomes.missing)),
    )


def _kept_by_base(rows: pd.DataFrame) -> pd.Series:
    """The share of each member's own score that the base has with its head; NaN if not known."""
    base = rows.get("base_score", pd.Series(float("nan"), index=rows.index))
    return (base / rows["single_score"]).where(rows["single_score"] > 0)
