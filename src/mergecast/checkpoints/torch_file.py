"""``.pt``, ``.pth`` and ``.bin`` files: read with ``weights_only=True``, so no code is run."""

from __future__ import annotations

import errno
import os
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mergecast.checkpoints import dtypes
from mergecast.checkpoints.checkpoint import Checkpoint, TensorInfo
from mergecast.checkpoints.content import check_content
from mergecast.checkpoints.safetensors_file import check_shard, note_unlisted, read_index
from mergecast.errors import CheckpointError
from mergecast.typing import Array

if TYPE_CHECKING:
    import torch

#: Keys under which training scripts keep the weights beside other state, live weights first.
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "weights",
    "net",
    "network",
    "params",
    "student",
    "ema",
    "ema_state_dict",
    "model_ema",
    "state_dict_ema",
    "params_ema",
    "teacher",
)


class TorchCheckpoint(Checkpoint):
    """Tensors of torch-serialised files, memory-mapped where the format allows."""

    def __init__(self, path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
        infos: dict[str, TensorInfo] = {}
        tied: dict[str, str] = {}
        first_name: dict[tuple[Any, ...], str] = {}
        for name in sorted(tensors):
            tensor = tensors[name]
            place = (
                tensor.untyped_storage().data_ptr(),
                tensor.storage_offset(),
                tuple(tensor.shape),
                tensor.stride(),
                tensor.dtype,
            )
            if tensor.numel() and place in first_name:
                tied[name] = first_name[place]
                continue
            first_name[place] = name
            infos[name] = TensorInfo(name, tuple(tensor.shape), _dtype(tensor, path, name))
        super().__init__(path, infos, tied)
        self._tensors = {name: tensors[name] for name in infos}

    def _read(self, info: TensorInfo, start: int, stop: int) -> Array:
        import torch

        flat = self._tensors[info.name].reshape(-1)[start:stop]
        raw = flat.contiguous().view(torch.uint8) if flat.numel() else flat.to(torch.uint8)
        return raw.numpy().view(info.dtype).copy()


def open_torch(path: Path) -> TorchCheckpoint:
    """One torch-serialised file that holds a state dict of tensors."""
    tensors, notes = load_tensors(path)
    checkpoint = TorchCheckpoint(path, tensors)
    checkpoint.notes = notes
    return checkpoint


def open_torch_sharded(index: Path) -> TorchCheckpoint:
    """The shards that ``pytorch_model.bin.index.json`` lists."""
    weight_map = read_index(index)
    tensors: dict[str, torch.Tensor] = {}
    unlisted: list[str] = []
    for shard in sorted(set(weight_map.values())):
        part, _ = load_tensors(index.parent / shard)
        unlisted += check_shard(index, weight_map, shard, part)
        tensors.update(part)
    checkpoint = TorchCheckpoint(index.parent, tensors)
    checkpoint.notes = note_unlisted(index, unlisted)
    return checkpoint


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Name to tensor of one file, and which of several state dicts they are, in words.

    Raises
    ------
    CheckpointError
        The file holds code, something else than tensors, or is damaged.
    """
    payload = _load(path)
    notes: list[str] = []
    while isinstance(payload, Mapping) and not _all_tensors(payload):
        inner = [key for key in WRAPPERS if _holds_tensors(payload.get(key))]
        if not inner:
            break
        if len(inner) > 1:
            notes.append(f"{inner[0]!r} is read; beside it in the file: {', '.join(inner[1:])}")
        payload = payload[inner[0]]
    if not isinstance(payload, Mapping):
        raise CheckpointError(
            path,
            f"holds a {type(payload).__name__}, not a state dict of tensors",
            "save model.state_dict()",
        )
    if not _all_tensors(payload):
        name, value = next((k, v) for k, v in payload.items() if not _is_plain(v))
        raise CheckpointError(
            path,
            f"entry {name!r} is a {_kind(value)}",
            "save model.state_dict() alone",
        )
    return {str(name): tensor.detach() for name, tensor in payload.items()}, tuple(notes)


def _holds_tensors(value: object) -> bool:
    """Whether a value is a state dict, or holds one under a known key."""
    if not isinstance(value, Mapping):
        return False
    return any(map(_is_plain, value.values())) or any(key in WRAPPERS for key in value)


def _load(path: Path) -> Any:
    import torch

    try:
        check_content(path)
        # torch maps files by their name in UTF-8; others it can only read.
        mapped = zipfile.is_zipfile(path) and _is_utf8(path)
        with warnings.catch_warnings(), path.open("rb") as stream:
            # What torch warns of here (odd pickle protocols, old storages) ends in an error of
            # ours or concerns whoever saved the file.
            warnings.simplefilter("ignore")
            source = path if mapped else stream
            return torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        code = named.group(1) if named else _pickled_global(path)
        if code or "Unsupported class" in str(error):
            raise CheckpointError(
                path,
                f"holds pickled Python code{f' ({code})' if code else ''}, which is never run",
                "save its state dict as safetensors in a place you trust",
            ) from None
        raise _damaged(path, "no pickled state dict") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # torch looked for a part beyond the file's ends
            raise _damaged(path, "truncated") from error
        raise CheckpointError(
            path, f"cannot be opened: {error.strerror or error}", "check path and permissions"
        ) from error
    except KeyError as error:  # an operand that no pickle has
        raise _damaged(path, "no pickled state dict") from error
    except (RuntimeError, EOFError, ValueError, TypeError, AttributeError, LookupError) as error:
        line = next(iter(str(error).splitlines()), "").partition(". This is an internal")[0]
        raise _damaged(path, line[:120] or type(error).__name__) from error


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        path, f"corrupt or not a torch checkpoint ({reason})", "copy or download it again"
    )


def _is_utf8(path: Path) -> bool:
    try:
        os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _pickled_global(path: Path) -> str | None:
    """The first foreign function or class a bare pickle names; its code is read, never run."""
    strings: list[str] = []
    try:
        with path.open("rb") as stream:
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name in {"GLOBAL", "STACK_GLOBAL"}:
                    name = argument or " ".join(strings[-2:])
                    if not str(name).startswith(("torch", "collections ")):
                        return str(name).replace(" ", ".")
                elif isinstance(argument, str):
                    strings.append(argument)
    except (ValueError, IndexError, OSError, UnicodeDecodeError):
        return None
    return None


def _is_plain(value: object) -> bool:
    """Whether this is a dense tensor with values."""
    import torch

    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not (value.is_nested or value.is_quantized or value.is_meta)
    )


def _kind(value: object) -> str:
    import torch

    if not isinstance(value, torch.Tensor):
        return f"{type(value).__name__}, not a tensor"
    if value.is_meta:
        return "tensor without values (device meta)"
    if value.is_nested:
        return "nested tensor, not a dense one"
    if value.is_quantized:
        return "quantized tensor, not a plain one"
    return f"tensor of layout {value.layout}, not a dense one"


def _all_tensors(payload: Mapping[Any, Any]) -> bool:
    return all(_is_plain(value) for value in payload.values())


def _dtype(tensor: torch.Tensor, path: Path, name: str) -> np.dtype[np.generic]:
    torch_name = str(tensor.dtype).removeprefix("torch.")
    by_name = {dtype.name: dtype for dtype in dtypes.SAFETENSORS.values()}
    if torch_name not in by_name:
        raise CheckpointError(
            f"{path}: tensor {name!r}",
            f"dtype {torch_name} is not supported",
            f"convert it to one of {', '.join(by_name)}",
        )
    return by_name[torch_name]
