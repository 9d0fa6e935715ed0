"""Named columns on disk (Parquet, npz, a saved Hugging Face dataset): chosen rows as tensors."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mergecast.errors import UsageError


class Columns(ABC):
    """A table whose rows are read when they are asked for."""

    def __init__(self, path: Path, names: Sequence[str], rows: int) -> None:
        self.path = path
        self.names = tuple(names)
        self.rows = rows

    def read(self, name: str, rows: np.ndarray) -> Any:
        """Rows of a column: an array, or a list of Python values; raises UsageError."""
        if name not in self.names:
            raise UsageError.unknown("column", name, self.names).about(self.path)
        return self._read(name, rows)

    @abstractmethod
    def _read(self, name: str, rows: np.ndarray) -> Any: ...


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

    def _read(self, name: str, rows: np.ndarray) -> Any:
        return self._arrays[name][rows]


class _Arrow(Columns):
    def __init__(self, path: Path, table: Any) -> None:
        self._table = table
        super().__init__(path, table.column_names, table.num_rows)

    def _read(self, name: str, rows: np.ndarray) -> Any:
        return self._table.column(name).take(rows).to_pylist()


def open_columns(path: Path, split: str | None = None) -> Columns:
    """Open a ``.parquet`` or ``.npz`` file, or a folder that a dataset's save_to_disk wrote.

    Raises UsageError for a missing, damaged or unknown file, naming what exists.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        raise UsageError(path, "does not exist", "give the file of samples")
    if split is not None and not path.is_dir():
        raise UsageError(path, f"has no splits, asked for {split!r}", "leave split out")
    try:
        if path.is_dir():
            return _Arrow(path, _saved_dataset(path, split))
        if path.suffix == ".parquet":
            return _Arrow(path, pq.read_table(path))
        if path.suffix == ".npz":
            return _Npz(path)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(path, f"cannot be read: {error}", "write it again") from error
    raise UsageError(
        path, f"ends in {path.suffix!r}", "give .parquet, .npz, or a saved dataset's folder"
    )


def _saved_dataset(folder: Path, split: str | None) -> Any:
    """The Arrow table of a folder written by datasets' save_to_disk, without that library."""
    import pyarrow as pa

    listing = folder / "dataset_dict.json"
    if listing.is_file():
        splits = json.loads(listing.read_text(encoding="utf-8"))["splits"]
        if split not in splits:
            raise UsageError.unknown("split", str(split), splits).about(folder)
        folder = folder / str(split)
    state_file = folder / "state.json"
    if not state_file.is_file():
        raise UsageError(folder, "is no saved dataset (no state.json)", "use save_to_disk")
    state = json.loads(state_file.read_text(encoding="utf-8"))
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise UsageError(folder, "keeps its rows by indices", "call flatten_indices before saving")
    parts = []
    for file in state["_data_files"]:
        with pa.memory_map(str(folder / file["filename"])) as source:
            parts.append(pa.ipc.open_stream(source).read_all())
    return pa.concat_tables(parts)


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
        raise UsageError(
            f"column {name!r}",
            f"holds {array.dtype.name} values, first {str(array.flat[0])[:40]!r}",
            "give numbers (text columns go under text, images as arrays)",
        )
    kind = np.float32 if array.dtype.kind == "f" else np.int64
    return torch.from_numpy(np.ascontiguousarray(array, dtype=kind)), mask
