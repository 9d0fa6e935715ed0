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

#: Merges of a model that a sentence names.
_NAMED = 3


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


def own_scores(outcomes: OutcomeTable) -> Table:
    """What each model scores alone on the samples that its merges are scored on, one row a task."""
    rows: list[Row] = []
    for task, of_task in outcomes.frame.groupby("task", sort=True):
        known = [_first(of_task, name) for name in ("single_score", "base_score", "majority")]
        count = _first(of_task, "n_eval")
        samples = "–" if count is None else f"{count:.0f}"
        rows.append([str(task), *map(number, known), samples])
    return Table(
        "What each model scores alone, and without any fine-tuning",
        ["model", "alone", "base", "commonest class", "samples"],
        rows,
    )


def _first(rows: pd.DataFrame, column: str) -> float | None:
    values = rows[column].dropna() if column in rows.columns else pd.Series(dtype="float64")
    return None if values.empty else float(values.iloc[0])


def like_one_class(outcomes: OutcomeTable) -> list[str]:
    """Members that score no more in merges than always their commonest class, a sentence each.

    That is, no more than one standard error above it.
    """
    frame = outcomes.by_recipe
    if "majority" not in frame.columns:
        return []
    error = (frame["majority"] * (1 - frame["majority"]) / frame["n_eval"]).clip(lower=0) ** 0.5
    alike = frame[frame["score"] <= frame["majority"] + error.fillna(0)]
    said = []
    for task, rows in alike.groupby("task", sort=True):
        floor, single = float(rows["majority"].iloc[0]), float(rows["single_score"].iloc[0])
        merges = [f"{m} by {r}" for m, r in zip(rows["members"], rows["method"], strict=True)]
        more = f" and {len(merges) - _NAMED} more" if len(merges) > _NAMED else ""
        said.append(
            f"{task}: scores no more than always its commonest class would, {number(floor)}, "
            f"which is {number(floor / single)} of its own score, in {', '.join(merges[:_NAMED])}"
            f"{more}"
        )
    return said


def member_parts(outcomes: OutcomeTable) -> Iterator[Table]:
    """What models score alone, then what every member of every merge kept, one row a merge."""
    yield own_scores(outcomes)
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
        caption="\n".join(
            [
                *dict.fromkeys(f"{m.task}: {m.reason}" for m in outcomes.missing),
                *like_one_class(outcomes),
            ]
        ),
    )


def _kept_by_base(rows: pd.DataFrame) -> pd.Series:
    """The share of each member's own score that the base has with its head; NaN if not known."""
    base = rows.get("base_score", pd.Series(float("nan"), index=rows.index))
    return (base / rows["single_score"]).where(rows["single_score"] > 0)
