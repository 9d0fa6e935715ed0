"""``.safetensors`` files, alone or as the shards of an index.

The safetensors library validates the header; bytes are then read by positioned reads of our own
rather than through its memory map, so that resident memory stays at what is in use: twenty mapped
models would count as twenty models. The library's own positioned reads (``backend="pread"``, 0.8)
take whole tensors alone, a slice included, and without torch fail on 8-bit floats.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mergecast.checkpoints import dtypes
from mergecast.checkpoints.checkpoint import Checkpoint, TensorInfo
from mergecast.checkpoints.content import check_content
from mergecast.errors import CheckpointError
from mergecast.typing import Array

#: Bytes of the largest header that is read: a hundred thousand tensors take some ten MiB.
LARGEST_HEADER = 16 << 20


@dataclass(frozen=True)
class _Location:
    file: Path
    offset: int


class SafetensorsCheckpoint(Checkpoint):
    """Tensors of one or more safetensors files."""

    def __init__(
        self,
        path: Path,
        infos: Mapping[str, TensorInfo],
        locations: Mapping[str, _Location],
        tied: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(path, infos, tied)
        self._locations = dict(locations)

    def file_of(self, name: str) -> str:
        """The name of the file that holds `name` (the shard, for a sharded model)."""
        return self._locations[self.info(name).name].file.name

    def _read(self, info: TensorInfo, start: int, stop: int) -> Array:
        location = self._locations[info.name]
        out = np.empty(stop - start, dtype=info.dtype)
        view = out.view(np.uint8).data
        position = location.offset + start * info.dtype.itemsize
        done = 0
        try:
            descriptor = os.open(location.file, os.O_RDONLY)
            try:
                while done < len(view):
                    count = os.preadv(descriptor, [view[done:]], position + done)
                    if count == 0:
                        break
                    done += count
            finally:
                os.close(descriptor)
        except OSError as error:
            raise CheckpointError(
                location.file, f"cannot be read: {error.strerror}", "check the file"
            ) from error
        if done < len(view):
            raise CheckpointError(
                location.file,
                f"ends inside tensor {info.name!r} ({done} of {len(view)} bytes)",
                "copy or download it again",
            )
        return out


def open_safetensors(path: Path) -> SafetensorsCheckpoint:
    """One ``.safetensors`` file."""
    infos, locations = _read_header(path)
    return SafetensorsCheckpoint(path, infos, locations)


def open_sharded(index: Path) -> SafetensorsCheckpoint:
    """The shards that ``*.safetensors.index.json`` lists."""
    weight_map = read_index(index)
    shards = sorted(set(weight_map.values()))
    infos: dict[str, TensorInfo] = {}
    locations: dict[str, _Location] = {}
    unlisted: list[str] = []
    for shard in shards:
        shard_infos, shard_locations = _read_header(index.parent / shard)
        unlisted += check_shard(index, weight_map, shard, shard_infos)
        infos.update(shard_infos)
        locations.update(shard_locations)
    checkpoint = SafetensorsCheckpoint(index.parent, infos, locations)
    checkpoint.notes = note_unlisted(index, unlisted)
    return checkpoint


def check_shard(
    index: Path, weight_map: Mapping[str, str], shard: str, names: Iterable[str]
) -> list[str]:
    """Tensors of a shard that its index does not list: loaders take them, and so are they here.

    Raises
    ------
    CheckpointError
        The shard lacks a tensor that the index lists for it.
    """
    listed = {name for name, file in weight_map.items() if file == shard}
    held = set(names)
    if listed - held:
        raise CheckpointError(
            index.parent / shard,
            f"disagrees with {index.name}: only the index names {min(listed - held)!r}",
            "copy or download the folder again",
        )
    return sorted(name for name in held - listed if weight_map.get(name, shard) == shard)


def note_unlisted(index: Path, unlisted: Sequence[str]) -> tuple[str, ...]:
    """What is said of tensors that stand in the shards and not in the index."""
    if not unlisted:
        return ()
    return (f"{len(unlisted)} tensor(s) that {index.name} does not list, first {unlisted[0]!r}",)


def read_index(index: Path, names: Collection[str] | None = None) -> dict[str, str]:
    """The weight map of a Hugging Face shard index; every shard it names is a file beside it.

    Parameters
    ----------
    index : Path
        The index.
    names : collection of str, optional
        The files beside it, where they are known without being here.

    Raises
    ------
    CheckpointError
        It is no index, or a shard is missing.
    """
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        pairs = {str(name): str(file) for name, file in weight_map.items()}
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise CheckpointError(
            index,
            f"is not a shard index with a 'weight_map' ({type(error).__name__}: {error})",
            "copy or download it again",
        ) from error
    for shard in sorted(set(pairs.values())):
        if Path(shard).name != shard:
            raise CheckpointError(
                index, f"names a shard outside its folder: {shard!r}", "use plain file names"
            )
        if not ((index.parent / shard).is_file() if names is None else shard in names):
            raise CheckpointError(
                index.parent / shard, f"missing, though {index.name} lists it", "fetch this shard"
            )
    return pairs


def header_of(path: Path) -> dict[str, Any]:
    """The header of a file as it stands, unchecked; empty where it cannot be read as one."""
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            content = json.loads(stream.read(length)) if length <= LARGEST_HEADER else None
    except (OSError, ValueError, RecursionError, MemoryError):
        return {}
    return content if isinstance(content, dict) else {}


def _check_header_size(path: Path) -> None:
    """Raise CheckpointError for a header that no model needs: it would take minutes to parse."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    if LARGEST_HEADER < length <= path.stat().st_size:
        raise CheckpointError(
            path,
            f"has a header of {length / 2**20:.0f} MiB, more than {LARGEST_HEADER >> 20} MiB",
            "split the checkpoint into shards of fewer tensors",
        )


def _read_header(path: Path) -> tuple[dict[str, TensorInfo], dict[str, _Location]]:
    _validate(path)
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    infos: dict[str, TensorInfo] = {}
    locations: dict[str, _Location] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype = dtypes.from_safetensors(entry["dtype"], f"{path}: tensor {name!r}")
        infos[name] = TensorInfo(name, tuple(entry["shape"]), dtype)
        locations[name] = _Location(path, 8 + length + entry["data_offsets"][0])
    return infos, locations


def _validate(path: Path) -> None:
    """Let the safetensors library check header, offsets and length; say its verdict plainly."""
    from safetensors import SafetensorError, safe_open

    try:
        size = path.stat().st_size
        check_content(path)
        _check_header_size(path)
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        reason = str(error)
        if "incomplete metadata" in reason or "MetadataIncompleteBuffer" in reason:
            problem = f"truncated or padded: its {size} bytes are not what the header declares"
        else:
            problem = f"not a safetensors file ({reason})"
        raise CheckpointError(path, problem, "copy or download it again") from error
    except OSError as error:
        raise CheckpointError(
            path, f"cannot be opened: {error.strerror or error}", "check path and permissions"
        ) from error
