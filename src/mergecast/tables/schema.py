"""Checks that both tables share; every error names the table, the column and the row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import numpy as np
import pandas as pd

from mergecast.errors import TableError


def refuse(
    table: str, column: str, problem: str, remedy: str = "", row: object | None = None
) -> NoReturn:
    """Raise a TableError that names table, column and (where there is one) row, counted from 0."""
    where = f"{table} table, column {column!r}"
    if row is not None:
        where += f", row {row}"
    raise TableError(where, problem, remedy)


@contextmanager
def about(context: object) -> Iterator[None]:
    """Put `context` (a file, a folder) before the thing that a TableError inside names."""
    try:
        yield
    except TableError as error:
        raise error.about(context) from None


def require_columns(df: pd.DataFrame, columns: Sequence[str], table: str) -> None:
    """Raise TableError when a column is absent or stands twice."""
    for column in df.columns:
        if not isinstance(column, str) or not column:
            refuse(table, str(column), "its name is no text", "name columns in words")
    repeated = df.columns[df.columns.duplicated()]
    if len(repeated):
        refuse(table, str(repeated[0]), "stands more than once", "keep one of them")
    for column in columns:
        if column not in df.columns:
            found = ", ".join(map(str, df.columns)) or "none"
            refuse(table, column, "missing", f"columns found: {found}")


def text_column(df: pd.DataFrame, column: str, table: str, *, empty: bool = False) -> pd.Series:
    """The column as strings; raises TableError at the first value that is not (non-empty) text."""
    for row, value in enumerate(df[column]):
        if not isinstance(value, str):
            refuse(table, column, f"expected text, found {value!r}", "write names as text", row)
        if not empty and not value.strip():
            refuse(table, column, "empty name", "name the suite, model, task or method", row)
    return df[column].astype(object).astype(str)


def float_column(df: pd.DataFrame, column: str, table: str, *, missing: bool) -> pd.Series:
    """The column as float64; infinities, and NaN unless `missing`, raise TableError."""
    series = df[column]
    numeric = pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series)
    if not numeric:
        # A column of None only is what a table writer makes of "all missing".
        if missing and bool(series.isna().all()):
            return pd.Series(np.nan, index=series.index, dtype="float64")
        refuse(table, column, f"expected numbers, found dtype {series.dtype}", "store it as float")
    values = series.to_numpy(dtype="float64", na_value=np.nan)
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        row = int(infinite[0])
        refuse(table, column, f"not finite ({values[row]})", "store undefined values as NaN", row)
    absent = np.flatnonzero(np.isnan(values))
    if absent.size and not missing:
        refuse(
            table, column, "NaN is not allowed here", "remove or measure the row", int(absent[0])
        )
    return pd.Series(values, index=series.index)


def integer_column(
    df: pd.DataFrame, column: str, table: str, *, low: int, missing: bool = False
) -> pd.Series:
    """The column as int64, each value at least `low`; raises TableError otherwise.

    Where values may be and are missing it is float64.
    """
    values = float_column(df, column, table, missing=missing)
    known = values.notna()
    wrong = np.flatnonzero(known & ((values != np.floor(values)) | (values < low)))
    if wrong.size:
        row = int(wrong[0])
        refuse(
            table, column, f"expected an integer of at least {low}, found {values[row]:g}", "", row
        )
    return values.astype("int64") if known.all() else values


def refuse_duplicates(df: pd.DataFrame, keys: list[str], table: str) -> None:
    """Raise TableError at the first row whose `keys` stand in an earlier row."""
    repeated = np.flatnonzero(df.duplicated(keys).to_numpy())
    if repeated.size:
        row = int(repeated[0])
        # tolist gives Python's own numbers: `seed 0`, not `seed np.int64(0)`.
        values = ", ".join(f"{key} {df[key].iloc[[row]].tolist()[0]!r}" for key in keys)
        refuse(table, keys[-1], f"duplicate of an earlier row: {values}", "keep one row", row)


def kept_column(df: pd.DataFrame, column: str, table: str) -> pd.Series:
    """A column that the table does not know: flags, whole numbers, numbers or text.

    Missing text becomes empty text, which is all that a CSV can say.

    Raises
    ------
    TableError
        Text and other values mixed, an infinite number.
    """
    series = df[column]
    if pd.api.types.is_bool_dtype(series) and not series.isna().any():
        return series.astype("bool")
    if pd.api.types.is_integer_dtype(series) and not series.isna().any():
        return series.astype("int64")
    if pd.api.types.is_numeric_dtype(series) or series.isna().all():
        return float_column(df, column, table, missing=True)
    filled = series.astype(object).where(series.notna(), "")
    return text_column(pd.DataFrame({column: filled}), column, table, empty=True)
