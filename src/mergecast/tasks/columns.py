"""Named columns on disk (Parquet, CSV, JSON, npz, saved datasets): chosen rows as tensors."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mergecast.errors import UsageError
from mergecast.typing import Array

if TYPE_CHECKING:
    from datasets import Dataset
    from pyarrow import Table


class Columns(ABC):
    """A table whose rows are read when they are asked for.

    Attributes
    ----------
    path : Path
        Where it is.
    names : tuple of str
        Its columns.
    rows : int
        Their length.
    """

    def __init__(self, path: Path, names: Sequence[str], rows: int) -> None:
        self.path = path
        self.names = tuple(names)
        self.rows = rows

    def read(self, name: str, rows: Array) -> Any:
        """Rows of a column: an array, or a list of Python values; raises UsageError."""
        if name not in self.names:
            raise UsageError.unknown("column", name, self.names).about(self.path)
        return self._read(name, rows)

    def class_names(self, name: str) -> tuple[str, ...]:
        """What the classes of a column are called, in their order; empty where nothing says it."""
        feature = self._features().get(name)
        while isinstance(feature, dict) and "feature" in feature:  # labels of words: a list of them
            feature = feature["feature"]
        names = feature.get("names") if isinstance(feature, dict) else None
        return tuple(map(str, names)) if isinstance(names, list) else ()

    def _features(self) -> dict[str, Any]:
        """Column to what the package ``datasets`` says of it."""
        return {}

    @abstractmethod
    def _read(self, name: str, rows: Array) -> Any: ...


class _Npz(Columns):
    def __init__(self, path: Path) -> None:
        # Arrays of Python objects would run code when they are read, so they are refused.
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        lengths = {name: len(value) if value.ndim else 0 for name, value in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise UsageError(path, f"has arrays of {lengths} rows", "give one row a sample")
        self._arrays = arrays
        super().__init__(path, list(arrays), next(iter(lengths.values())))

    def _read(self, name: str, rows: Array) -> Any:
        return self._arrays[name][rows]


class _Table(Columns):
    def __init__(self, path: Path) -> None:
        self._table = _READERS[path.suffix.lower()](path)
        super().__init__(path, self._table.column_names, self._table.num_rows)

    def _features(self) -> dict[str, Any]:
        said = (self._table.schema.metadata or {}).get(b"huggingface")
        features = json.loads(said).get("info", {}).get("features") if said else None
        return features if isinstance(features, dict) else {}

    def _read(self, name: str, rows: Array) -> Any:
        return self._table.column(name).take(rows).to_pylist()


def _parquet(path: Path) -> Table:
    import pyarrow.parquet as pq

    return pq.read_table(path)


def _csv(path: Path) -> Table:
    from pyarrow import csv

    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open("rb") as file:
        start = file.readline()
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError(path, "is written in UTF-16", "write it in UTF-8")
    # Before it is parsed: texts may hold the separator that the names lack.
    names = start.decode("utf-8", "replace").strip().removeprefix("\ufeff")
    other = next((one for one in ";\t|," if one in names), None)
    if delimiter not in names and other is not None:
        raise UsageError(
            path,
            f"has one column, {names!r:.60}: it seems to be separated by {other!r}",
            f"write it with {delimiter!r} between columns"
            + (", or call it .tsv" if other == "\t" else ""),
        )
    options = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    return csv.read_csv(path, parse_options=options)


def _json_lines(path: Path) -> Table:
    from pyarrow import json as arrow_json

    # A row may be longer than the default block of 1 MiB: chats are.
    return arrow_json.read_json(path, arrow_json.ReadOptions(block_size=_JSON_BLOCK))


def _json(path: Path) -> Table:
    """One list of records, or, as many write it, a record a line."""
    import pyarrow as pa

    with path.open(encoding="utf-8") as file:
        if file.read(_BEGINNING).lstrip()[:1] != "[":
            return _json_lines(path)
        file.seek(0)
        return pa.Table.from_pylist(json.load(file))


#: Bytes of JSON that are read at once, which no row may be longer than.
_JSON_BLOCK = 1 << 26
#: Characters of a file that tell whether it is one list.
_BEGINNING = 4096
#: Reader of a file by how its name ends.
_READERS: Mapping[str, Callable[[Path], Table]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
}
#: What files of samples may be.
FILES = f"a file that ends in .npz, {', '.join(_READERS)}"


class _Saved(Columns):
    def __init__(self, path: Path, split: str | None) -> None:
        # As Arrow: features such as images stay what is stored, nothing is decoded.
        self._dataset = _saved_dataset(path, split).with_format("arrow")
        super().__init__(path, self._dataset.column_names, self._dataset.num_rows)

    def _features(self) -> dict[str, Any]:
        features: dict[str, Any] = self._dataset.features.to_dict()
        return features

    def _read(self, name: str, rows: Array) -> Any:
        return self._dataset.select_columns(name).select(rows)[:].column(name).to_pylist()


def open_columns(path: Path, split: str | None = None) -> Columns:
    """Open a file of samples, or a folder that a dataset's save_to_disk wrote.

    Parameters
    ----------
    path : Path
        Folder, or file: ``.parquet``, ``.csv`` and ``.tsv`` (names of columns in the first line),
        ``.jsonl``, ``.ndjson`` and ``.json`` (records, one a line or one list), ``.npz``.
    split : str, optional
        Which part of a folder with several.

    Raises
    ------
    UsageError
        A missing, damaged or unknown file, or an unknown split; a folder where the package
        ``datasets`` is not installed.
    """
    import pyarrow as pa

    if not path.exists():
        raise UsageError(path, "does not exist", "give the file of samples")
    if split is not None and not path.is_dir():
        raise UsageError(path, f"has no splits, asked for {split!r}", "leave split out")
    try:
        if path.is_dir():
            return _Saved(path, split)
        if path.suffix.lower() in _READERS:
            return _Table(path)
        if path.suffix == ".npz":
            return _Npz(path)
    except UsageError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, AttributeError) as error:
        raise UsageError(
            path, f"cannot be read: {error}", "mend it there, or write it again"
        ) from error
    raise UsageError(path, f"ends in {path.suffix!r}", f"give {FILES}, or a saved dataset's folder")


def _saved_dataset(folder: Path, split: str | None) -> Dataset:
    """A dataset, or one split of several, from a folder that save_to_disk wrote."""
    try:
        from datasets import DatasetDict, load_from_disk
    except ImportError as error:
        raise UsageError(
            folder,
            "is a folder, which only the package datasets reads, and it is not installed",
            f"pip install mergecast[hf], or give {FILES}",
        ) from error
    try:
        saved = load_from_disk(str(folder))
    except FileNotFoundError as error:
        raise UsageError(folder, "is no saved dataset", "write it by save_to_disk") from error
    if not isinstance(saved, DatasetDict):
        if split is not None:
            raise UsageError(folder, f"has no splits, asked for {split!r}", "leave split out")
        return saved
    if split not in saved:
        raise UsageError.unknown("split", str(split), saved).about(folder)
    return saved[split]


def as_tensor(name: str, values: Any, padding: int = 0) -> tuple[Tensor, Tensor | None]:
    """Values as a tensor, int64 or float32, and the mask of what is no padding.

    Lists of different lengths are padded at the end; the mask is None where nothing was.

    Raises UsageError for values that are no numbers.
    """
    ragged = (
        isinstance(values, list)
        and any(isinstance(row, list) for row in values)
        and len({len(row) for row in values if isinstance(row, list)}) > 1
    )
    empty = sum(value is None for value in values) if isinstance(values, list) else 0
    if empty:
        raise UsageError(
            f"column {name!r}",
            f"has no value in {empty} of {len(values)} rows",
            "fill them in, or leave these rows out",
        )
    mask = None
    if ragged:
        length = max(len(row) for row in values)
        mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in values])
        values = [row + [padding] * (length - len(row)) for row in values]
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise UsageError(f"column {name!r}", "has rows of different shapes", "pad them") from error
    if array.dtype.kind not in "iufb":
        # In order, since which rows were drawn says nothing of the column.
        examples = sorted({str(value)[:40] for value in array.flat})[:3]
        raise UsageError(
            f"column {name!r}",
            f"holds {array.dtype.name} values such as {', '.join(map(repr, examples))}",
            "give numbers (text columns go under text, images under pixel_values)",
        )
    kind = np.float32 if array.dtype.kind == "f" else np.int64
    return torch.from_numpy(np.ascontiguousarray(array, dtype=kind)), mask
