"""What makes a frame an outcome table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mergecast.tables.schema import (
    float_column,
    integer_column,
    kept_column,
    refuse,
    refuse_duplicates,
    require_columns,
    text_column,
)
from mergecast.tables.sets import sizes_of, split_members
from mergecast.typing import Floats

TEXT_COLUMNS = ["suite", "method", "recipe", "members", "task"]
#: What tells merges apart.
MERGE_KEYS = ["suite", "recipe", "members", "seed"]
# Whether a value may be missing.
_MAY_MISS = {"score": True, "single_score": False, "retention": True}
_LOSSES = ["loss", "single_loss"]
OUTCOME_COLUMNS = [*TEXT_COLUMNS, *_MAY_MISS, *_LOSSES, "n_eval", "seed"]
#: Where no single model's score is above 1, a score that is, and so many times it, is in percent.
_PERCENT = 10
_NEEDED = ["method", "members", "task", "score", "single_score"]
# What a column that is absent says; the recipe follows from the method, retention from the scores.
_ABSENT = {"suite": "", **dict.fromkeys(["retention", *_LOSSES, "n_eval"], np.nan), "seed": 0}

# Stored retention may be rounded (float32, CSV by hand), never recomputed differently.
_RETENTION_TOLERANCE = 1e-6


def checked_outcomes(frame: pd.DataFrame) -> pd.DataFrame:
    """A checked copy: text keys, float64 values, index 0..n-1; see `OutcomeTable`.

    Raises
    ------
    TableError
        As `OutcomeTable`, by column and row.
    """
    table = "outcomes"
    require_columns(frame, _NEEDED, table)
    df = _completed(frame.reset_index(drop=True))
    if df.empty:
        refuse(table, "members", "the table has no rows", "evaluate at least one merge")
    columns = {key: text_column(df, key, table, empty=key == "suite") for key in TEXT_COLUMNS}
    columns |= {key: float_column(df, key, table, missing=nan) for key, nan in _MAY_MISS.items()}
    columns |= {key: float_column(df, key, table, missing=True) for key in _LOSSES}
    columns["n_eval"] = integer_column(df, "n_eval", table, low=1, missing=True)
    columns["seed"] = integer_column(df, "seed", table, low=0)
    columns |= {key: kept_column(df, key, table) for key in df.columns if key not in columns}
    checked = pd.DataFrame(columns)
    _check_recipes(checked)
    _check_members(checked)
    _check_retention(checked)
    refuse_duplicates(checked, [*MERGE_KEYS, "task"], table)
    _check_complete(checked)
    return checked


def _completed(df: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns that people leave out."""
    for column in ("retention", "n_eval", "seed"):
        if column in df and bool(df[column].isna().all()):
            df = df.drop(columns=column)  # an empty column of a CSV says no more than none
    if "retention" not in df:
        score, single = (
            float_column(df, key, "outcomes", missing=_MAY_MISS[key])
            for key in ("score", "single_score")
        )
        df = df.assign(retention=(score / single).where(single > 0))
    absent: dict[str, Any] = {key: value for key, value in _ABSENT.items() if key not in df}
    said = df["recipe"] if "recipe" in df else pd.Series("", df.index)
    return df.assign(**absent, recipe=said.where(said.notna() & (said != ""), df["method"]))


def _check_recipes(df: pd.DataFrame) -> None:
    for row, (method, recipe) in enumerate(zip(df["method"], df["recipe"], strict=True)):
        if recipe != method and not (recipe.startswith(f"{method}(") and recipe.endswith(")")):
            refuse(
                "outcomes",
                "recipe",
                f"{recipe!r} is none of method {method!r}",
                "write the method's name, or METHOD(NAME=VALUE, ...)",
                row,
            )


def _check_members(df: pd.DataFrame) -> None:
    for row, (members, task) in enumerate(zip(df["members"], df["task"], strict=True)):
        names = split_members(members)
        if names != sorted(set(names)) or "" in names:
            refuse(
                "outcomes",
                "members",
                f"{members!r} is not a sorted list of distinct names",
                "join sorted names with '+'",
                row,
            )
        if task not in names:
            refuse(
                "outcomes",
                "task",
                f"{task!r} is not a member of {members!r}",
                "name one of them",
                row,
            )


def _check_retention(df: pd.DataFrame) -> None:
    score, single, stored = (df[key].to_numpy() for key in ("score", "single_score", "retention"))
    for key, values in (("single_score", single), ("score", score)):
        negative = np.flatnonzero(values < 0)
        if negative.size:  # nobody keeps less than nothing: all that reads shares takes it for 0
            row = int(negative[0])
            refuse(
                "outcomes",
                key,
                f"negative ({values[row]:g})",
                "use a score whose ratio means something, such as accuracy",
                row,
            )
    shares = bool((single <= 1).all())
    percent = np.flatnonzero(shares & (score > 1) & (single > 0) & (score > _PERCENT * single))
    if percent.size:
        row = int(percent[0])
        refuse(
            "outcomes",
            "score",
            f"{score[row]:g} beside a single_score of {single[row]:g}",
            "give both in one unit: shares, or both in percent",
            row,
        )
    expected = np.full(len(df), np.nan)
    np.divide(score, single, out=expected, where=single > 0)
    close = np.isclose(stored, expected, rtol=0, atol=_tolerance(stored), equal_nan=True)
    wrong = np.flatnonzero(~close)
    if wrong.size:
        row = int(wrong[0])
        refuse(
            "outcomes",
            "retention",
            f"{stored[row]:g} where score / single_score is {expected[row]:g}",
            "store score / single_score, and NaN where single_score is 0 or the score missing",
            row,
        )


def _tolerance(stored: Floats) -> Floats:
    """How far a stored retention may be off: one and a half of its last decimal, if it has few.

    Scores of tables by hand are rounded as well, each by half a unit of its last decimal.
    """
    tolerance = np.full(len(stored), _RETENTION_TOLERANCE)
    for decimals in (5, 4, 3, 2):
        tolerance[stored == np.round(stored, decimals)] = 1.5 * 10.0**-decimals
    return tolerance


def _check_complete(df: pd.DataFrame) -> None:
    counts = df.groupby(MERGE_KEYS, sort=False)["task"].transform("size")
    sizes = sizes_of(df["members"])
    short = np.flatnonzero(counts.to_numpy() != sizes.to_numpy())
    if short.size:
        row = int(short[0])
        members = df["members"].iloc[row]
        same = (df[MERGE_KEYS] == df[MERGE_KEYS].iloc[row]).all(axis=1)
        absent = sorted(set(split_members(members)) - set(df.loc[same, "task"]))
        refuse(
            "outcomes",
            "task",
            f"members {members!r} (by {df['recipe'].iloc[row]}) lack a row for {absent[0]!r}",
            "evaluate every member of a merged set",
            row,
        )
