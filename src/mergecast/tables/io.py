"""Read and write the two tables, as Parquet or CSV, atomically."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from mergecast.errors import ResourceError, TableError
from mergecast.tables.outcomes import validate_outcomes
from mergecast.tables.pairs import PAIR_KEYS, validate_pairs
from mergecast.tables.schema import refuse

_OUTCOME_TEXT = ["suite", "method", "members", "task"]
_MISSING_COLUMNS = ["suite", "left", "right", "key", "reason"]


def read_pairs(path: str | Path) -> pd.DataFrame:
    """A pair table from ``.parquet`` or ``.csv`` (reasons from ``<stem>.missing.csv`` beside it).

    Raises
    ------
    TableError
        The file is no table of this kind. The message starts with the path.
    ResourceError
        It cannot be read.
    """
    path = Path(path)
    df = _read(path, PAIR_KEYS)
    if path.suffix == ".csv" and _sidecar(path).exists():
        reasons = _read(_sidecar(path), _MISSING_COLUMNS)
        df.attrs["missing"] = [
            {str(key): value for key, value in row.items() if value != ""}
            for row in reasons.to_dict("records")
        ]
    return _with_path(path, validate_pairs, df)


def read_outcomes(path: str | Path) -> pd.DataFrame:
    """An outcome table from ``.parquet`` or ``.csv``; errors as in `read_pairs`."""
    path = Path(path)
    return _with_path(path, validate_outcomes, _read(path, _OUTCOME_TEXT))


def write_pairs(pairs: pd.DataFrame, path: str | Path) -> Path:
    """Validate and write a pair table; CSV gets a sidecar with the reasons of missing values."""
    path = Path(path)
    checked = validate_pairs(pairs)
    check_format(path)
    if path.suffix == ".csv":
        # The sidecar first: a reader then never sees missing values without their reasons.
        missing = pd.DataFrame(checked.attrs["missing"], columns=_MISSING_COLUMNS)
        if missing.empty:
            _sidecar(path).unlink(missing_ok=True)
        else:
            replace_file(_sidecar(path), lambda target: missing.to_csv(target, index=False))
    return write_table(checked, path)


def write_outcomes(outcomes: pd.DataFrame, path: str | Path) -> Path:
    """Validate and write an outcome table."""
    return write_table(validate_outcomes(outcomes), path)


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


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.stem}.missing.csv")


def _with_path(
    path: Path, validate: Callable[[pd.DataFrame], pd.DataFrame], df: pd.DataFrame
) -> pd.DataFrame:
    try:
        return validate(df)
    except TableError as error:
        raise error.about(path) from None


def _read(path: Path, text: list[str]) -> pd.DataFrame:
    kind = check_format(path)
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "no such file"
        raise TableError(path, problem, "give a .parquet or .csv table")
    try:
        if kind == ".parquet":
            return pd.read_parquet(path, engine="pyarrow")
        # As text first: names such as "NA" or "1" stay names, numbers are parsed exactly below.
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except OSError as error:
        if kind == ".parquet" and error.errno is None:  # pyarrow's word for a broken file
            raise TableError(path, f"not a Parquet file: {error}", "write it again") from error
        raise ResourceError(path, f"cannot be read: {error.strerror}", "check the file") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise TableError(path, f"not a {kind[1:]} table: {error}", "write it again") from error
    return raw.assign(**{c: _numbers(raw[c], path) for c in raw.columns if c not in text})


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


def write_table(df: pd.DataFrame, path: str | Path) -> Path:
    """Write any frame, by suffix; raises TableError for another one, ResourceError on failure."""
    path = Path(path)
    if check_format(path) == ".parquet":
        replace_file(path, lambda target: df.to_parquet(target, engine="pyarrow", index=False))
    else:
        replace_file(path, lambda target: df.to_csv(target, index=False))
    return path


def replace_file(path: Path, write: Callable[[Path], object]) -> Path:
    """Write beside `path`, then move over it: a reader sees the old file or the new one.

    Missing folders are made. Raises ResourceError where the file system refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            return temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except ResourceError:
        raise
    except OSError as error:
        raise ResourceError(
            path, f"cannot be written: {error.strerror}", "check the folder and the free space"
        ) from error
