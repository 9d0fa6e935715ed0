"""The outcome table: what merges did. One row a merged set and member task.

Columns `suite, method, members` (sorted names joined by ``+``), `task` (the member that was
evaluated), `score, single_score` (merged and single model on the same samples), `retention` =
score / single_score, `loss, single_loss`, `n_eval` (samples), `seed`; more columns are kept.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mergecast.tables.schema import (
    float_column,
    integer_column,
    refuse,
    refuse_duplicates,
    require_columns,
    text_column,
)

_TEXT = ["suite", "method", "members", "task"]
_FLOAT = {"score": True, "single_score": False, "retention": True}
_LOSS = ["loss", "single_loss"]
OUTCOME_COLUMNS = [*_TEXT, *_FLOAT, *_LOSS, "n_eval", "seed"]

# Stored retention may be rounded (float32, CSV by hand), never recomputed differently.
_RETENTION_TOLERANCE = 1e-6


def validate_outcomes(outcomes: pd.DataFrame, table: str = "outcomes") -> pd.DataFrame:
    """A checked copy of an outcome table: text keys, float64 values, index 0..n-1.

    A score is NaN where a merge could not be evaluated (it diverged); retention is NaN there and
    where single_score is 0; losses may be NaN (a task without a loss).

    Raises
    ------
    TableError
        A missing column, a wrong dtype, members that are not sorted, a task that is no member, a
        set with an unmeasured member, a duplicate row, a retention that is not
        score / single_score within 1e-6, no rows.
    """
    require_columns(outcomes, OUTCOME_COLUMNS, table)
    df = outcomes.reset_index(drop=True)
    if df.empty:
        refuse(table, "members", "the table has no rows", "evaluate at least one merge")
    columns = {key: text_column(df, key, table, empty=key == "suite") for key in _TEXT}
    columns |= {key: float_column(df, key, table, missing=nan) for key, nan in _FLOAT.items()}
    columns |= {key: float_column(df, key, table, missing=True) for key in _LOSS}
    columns["n_eval"] = integer_column(df, "n_eval", table, low=1)
    columns["seed"] = integer_column(df, "seed", table, low=0)
    extra = {str(key): df[key] for key in df.columns if key not in columns}
    checked = pd.DataFrame(columns | extra)
    _check_members(checked, table)
    _check_retention(checked, table)
    refuse_duplicates(checked, ["suite", "method", "members", "seed", "task"], table)
    _check_complete(checked, table)
    return checked


def member_outcomes(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Retention of each member of each merged *pair*, averaged over seeds.

    Sets of one or of three and more members are no pairs and stay out. Returns
    DataFrame[suite, method, left, right, member, retention], sorted by these keys.
    """
    checked = validate_outcomes(outcomes)
    names = checked["members"].str.partition("+")
    keep = checked["members"].str.count(r"\+") == 1
    frame = pd.DataFrame(
        {
            "suite": checked["suite"],
            "method": checked["method"],
            "left": names[0],
            "right": names[2],
            "member": checked["task"],
            "retention": checked["retention"],
        }
    )[keep]
    keys = ["suite", "method", "left", "right", "member"]
    # skipna=False: a member whose retention is undefined for one seed is undefined, not luckier.
    means = frame.groupby(keys, sort=True)["retention"].agg(
        lambda values: values.mean(skipna=False)
    )
    return means.reset_index()


def pair_outcomes(outcomes: pd.DataFrame) -> pd.DataFrame:
    """The outcome of each merged pair: the mean retention of its two members.

    This is the paper's normalized accuracy. Returns
    DataFrame[suite, method, left, right, retention]; NaN where a member's is undefined.
    """
    keys = ["suite", "method", "left", "right"]
    members = member_outcomes(outcomes)
    means = members.groupby(keys, sort=True)["retention"].agg(
        lambda values: values.mean(skipna=False)
    )
    return means.reset_index()


def _check_members(df: pd.DataFrame, table: str) -> None:
    for row, (members, task) in enumerate(zip(df["members"], df["task"], strict=True)):
        names = members.split("+")
        if names != sorted(set(names)) or "" in names:
            refuse(
                table,
                "members",
                f"{members!r} is not a sorted list of distinct names",
                "join sorted names with '+'",
                row,
            )
        if task not in names:
            refuse(
                table, "task", f"{task!r} is not a member of {members!r}", "name one of them", row
            )


def _check_retention(df: pd.DataFrame, table: str) -> None:
    single = df["single_score"].to_numpy()
    stored = df["retention"].to_numpy()
    negative = np.flatnonzero(single < 0)
    if negative.size:
        row = int(negative[0])
        refuse(
            table,
            "single_score",
            f"negative ({single[row]:g})",
            "use a score whose ratio means something, such as accuracy",
            row,
        )
    expected = np.full(len(df), np.nan)
    np.divide(df["score"].to_numpy(), single, out=expected, where=single > 0)
    close = np.isclose(stored, expected, rtol=0, atol=_RETENTION_TOLERANCE, equal_nan=True)
    wrong = np.flatnonzero(~close)
    if wrong.size:
        row = int(wrong[0])
        refuse(
            table,
            "retention",
            f"{stored[row]:g} where score / single_score is {expected[row]:g}",
            "store score / single_score, and NaN where single_score is 0 or the score missing",
            row,
        )


def _check_complete(df: pd.DataFrame, table: str) -> None:
    keys = ["suite", "method", "members", "seed"]
    counts = df.groupby(keys, sort=False)["task"].transform("size")
    sizes = df["members"].str.count(r"\+") + 1
    short = np.flatnonzero(counts.to_numpy() != sizes.to_numpy())
    if short.size:
        row = int(short[0])
        members = df["members"].iloc[row]
        same = (df[keys] == df[keys].iloc[row]).all(axis=1)
        absent = sorted(set(members.split("+")) - set(df.loc[same, "task"]))
        refuse(
            table,
            "task",
            f"members {members!r} (method {df['method'].iloc[row]}) lack a row for {absent[0]!r}",
            "evaluate every member of a merged set",
            row,
        )
