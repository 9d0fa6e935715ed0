"""Writing safetensors files: streamed, and in place only when complete.

Everything is written beside its destination and moved there at the end, so an interrupted write
leaves the old output or none.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from mergecast.checkpoints import dtypes
from mergecast.checkpoints.checkpoint import TensorInfo
from mergecast.errors import UsageError
from mergecast.runtime.files import as_resource_error
from mergecast.typing import Array

_METADATA = {"format": "pt"}


class SafetensorsWriter:
    """One safetensors file, tensors written one at a time in any order.

    The header is written first from names, shapes and dtypes; the file appears under its name
    when the context ends without an error and every tensor was written.

    Examples
    --------
    >>> array = np.ones(3, dtype=np.float32)
    >>> infos = [TensorInfo("weight", array.shape, array.dtype)]
    >>> with SafetensorsWriter(Path("new.safetensors"), infos) as writer:
    ...     writer.write("weight", array)
    """

    def __init__(
        self, path: Path, infos: Sequence[TensorInfo], metadata: Mapping[str, str] | None = None
    ) -> None:
        self.path = path
        ordered = sorted(infos, key=lambda info: (-info.dtype.itemsize, info.name))
        header: dict[str, Any] = {"__metadata__": {**_METADATA, **(metadata or {})}}
        self._infos = {info.name: info for info in ordered}
        self._offsets: dict[str, int] = {}
        position = 0
        for info in ordered:
            self._offsets[info.name] = position
            header[info.name] = {
                "dtype": dtypes.to_safetensors(info.dtype),
                "shape": list(info.shape),
                "data_offsets": [position, position + info.nbytes],
            }
            position += info.nbytes
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._preamble = len(text).to_bytes(8, "little") + text
        self._missing = set(self._infos)
        self._temporary = temporary_path(path)
        self._descriptor = -1

    def __enter__(self) -> Self:
        sweep(self.path)
        try:  # a signal may come as soon as there is a file
            with as_resource_error(self.path):
                self._descriptor = os.open(
                    self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644
                )
                self._put(memoryview(self._preamble), 0)
        except BaseException:
            self._drop()
            raise
        return self

    def write(self, name: str, array: Array) -> None:
        """Write one tensor; shape and dtype must be the declared ones."""
        info = self._infos[name]
        if array.shape != info.shape or array.dtype != info.dtype:
            raise UsageError(
                f"tensor {name!r}",
                f"is {array.dtype.name} {list(array.shape)}, declared {info.dtype.name} "
                f"{list(info.shape)}",
                "write it in its declared dtype and shape",
            )
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        with as_resource_error(self.path):
            self._put(raw.data, len(self._preamble) + self._offsets[name])
        self._missing.discard(name)

    def _put(self, view: memoryview, offset: int) -> None:
        done = 0
        while done < len(view):
            done += os.pwrite(self._descriptor, view[done:], offset + done)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._missing:
                raise UsageError(
                    self.path, f"tensor {min(self._missing)!r} was never written", "write them all"
                )
            if kind is None:
                with as_resource_error(self.path):
                    os.fsync(self._descriptor)
                    self._temporary.replace(self.path)
        finally:
            self._drop()

    def _drop(self) -> None:
        """Close the temporary file, and remove it where it was not put in place."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        with suppress(OSError):  # of a place that takes no file there is none
            self._temporary.unlink()


def write_safetensors(
    path: str | Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors (NumPy arrays or CPU torch tensors) to one file, atomically."""
    arrays = {name: _as_array(value) for name, value in tensors.items()}
    infos = [TensorInfo(name, array.shape, array.dtype) for name, array in arrays.items()]
    with SafetensorsWriter(Path(path), infos, metadata) as writer:
        for name, array in arrays.items():
            writer.write(name, array)


def _as_array(value: Any) -> Array:
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    from mergecast.checkpoints.torch_bridge import to_array

    return to_array(value)


def temporary_path(final: Path) -> Path:
    """Where output grows until it is complete: beside its place, marked with this process."""
    return final.with_name(f".{final.name}.{os.getpid()}.tmp")


def sweep(final: Path) -> None:
    """Remove what processes that were killed left beside `final`."""
    for stale in final.parent.glob(f".{final.name}.*.tmp"):
        owner = stale.name.removesuffix(".tmp").rpartition(".")[2]
        if not owner.isdigit() or Path(f"/proc/{owner}").exists() or not Path("/proc").is_dir():
            continue
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            stale.unlink(missing_ok=True)
