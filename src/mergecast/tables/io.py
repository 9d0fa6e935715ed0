"""Read and write tables as Parquet or CSV, with the data that goes beside their rows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from mergecast.errors import ResourceError, TableError
from mergecast.runtime.files import write_atomically
from mergecast.tables.metadata import (
    Metadata,
    from_parquet,
    from_sidecar,
    sidecar,
    to_parquet,
    to_sidecar,
)
from mergecast.tables.schema import refuse

_FLAGS = {"True": True, "False": False}


def check_format(path: str | Path) -> str:
    """The suffix of a table file; raises TableError unless it is ``.parquet`` or ``.csv``."""
    path = Path(path)
    if path.suffix not in (".parquet", ".csv"):
        raise TableError(
            path,
            f"unknown table format {path.suffix or 'without a suffix'}",
            "use .parquet or .csv",
        )
    return path.suffix


def read_table(path: str | Path, text: Collection[str]) -> tuple[pd.DataFrame, Metadata]:
    """Rows of a table file as they stand there, and the data beside them.

    Parameters
    ----------
    path : str or Path
        A ``.parquet`` or ``.csv`` file.
    text : collection of str
        Columns that are text, whatever their values look like.

    Raises
    ------
    TableError
        No such file, none of a table, or written by a newer version. The message starts with the
        path.
    ResourceError
        It cannot be read.
    """
    path = Path(path)
    kind = check_format(path)
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "no such file"
        raise TableError(path, problem, "give a .parquet or .csv table")
    frame = _loaded(path, kind)
    if kind == ".parquet":
        return frame, from_parquet(path)
    metadata = from_sidecar(path)
    types = {**metadata.types, **dict.fromkeys(text, "str")}
    columns = {name: _typed(frame[name], types.get(name, ""), path) for name in frame.columns}
    return pd.DataFrame(columns), metadata


def _loaded(path: Path, kind: str) -> pd.DataFrame:
    """The rows of a file; those of a CSV all as text, so that names such as "NA" stay names."""
    try:
        if kind == ".parquet":
            return pd.read_parquet(path, engine="pyarrow")
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except OSError as error:
        if kind == ".parquet" and error.errno is None:  # pyarrow's word for a broken file
            raise TableError(path, f"not a Parquet file: {error}", "write it again") from error
        raise ResourceError(path, f"cannot be read: {error.strerror}", "check the file") from error
    except ValueError as error:
        raise TableError(path, f"not a {kind[1:]} table: {error}", "write it again") from error


def table_files(path: str | Path) -> tuple[Path, ...]:
    """The files that writing a table makes or may make: itself, and of a CSV the one beside it."""
    path = Path(path)
    return (path, sidecar(path)) if path.suffix == ".csv" else (path,)


def write_table(frame: pd.DataFrame, path: str | Path, metadata: Metadata | None = None) -> Path:
    """Write rows, and the data beside them where there is any, atomically.

    Raises
    ------
    TableError
        The suffix is of no table.
    ResourceError
        The file system refuses.
    """
    path = Path(path)
    if check_format(path) == ".parquet":
        return write_atomically(path, lambda target: to_parquet(frame, metadata, target))
    if metadata is not None:
        # First: a reader then never sees missing values without their reasons.
        to_sidecar(metadata, path)
    # RFC 4180's line ends: with others the writer leaves a name with a carriage return unquoted.
    return write_atomically(
        path, lambda target: frame.to_csv(target, index=False, lineterminator="\r\n")
    )


def _typed(column: pd.Series, kind: str, path: Path) -> pd.Series:
    """A CSV column of text as what it was when it was written; as numbers where nothing says."""
    if kind in {"str", "object"}:  # as pandas calls text since version 3, and did before
        return column
    if kind == "bool" and column.isin(list(_FLAGS)).all():
        return column.map(_FLAGS).astype("bool")
    numbers = _numbers(column, path)
    if kind == "int64" and numbers.dtype == "float64" and (numbers % 1 == 0).all():
        return numbers.astype("int64")
    return numbers


def _numbers(column: pd.Series, path: Path) -> pd.Series:
    """A CSV column of text as float64 (empty = NaN), or as it is when no value is a number."""
    values: list[float] = []
    words: list[tuple[int, str]] = []
    for row, cell in enumerate(column):
        try:
            values.append(float(cell) if cell.strip() else float("nan"))
        except ValueError:
            words.append((row, cell))
    if not words:
        return pd.Series(values, index=column.index, dtype="float64")
    if len(words) + int((column == "").sum()) == len(column):
        return column
    row, cell = words[0]
    return refuse(str(path), str(column.name), f"expected a number, found {cell!r}", "", row)
