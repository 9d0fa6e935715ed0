"""A checkpoint format: NumPy's ``.npz`` archives."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from mergecast.checkpoints.checkpoint import FORMATS, Checkpoint, CheckpointFormat, TensorInfo
from mergecast.errors import CheckpointError
from mergecast.typing import Array


class NpzCheckpoint(Checkpoint):
    """One archive; a tensor is read whole, since it may be compressed."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as stream, np.load(stream) as arrays:
                infos = {n: TensorInfo(n, a.shape, a.dtype) for n, a in arrays.items()}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            problem = f"is no archive of arrays ({error})"
            raise CheckpointError(path, problem, "save it again") from error
        super().__init__(path, infos)

    def _read(self, info: TensorInfo, start: int, stop: int) -> Array:
        with np.load(self.path) as arrays:
            flat: Array = arrays[info.name].reshape(-1)
        return flat[start:stop]


FORMATS.add(
    "example_npz",
    CheckpointFormat(
        "NumPy archive",
        lambda path: path.is_file() and path.suffix == ".npz",
        lambda path, base: NpzCheckpoint(path),
        (".npz",),
    ),
)
