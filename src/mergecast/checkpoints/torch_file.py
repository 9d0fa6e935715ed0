"""``.pt``, ``.pth`` and ``.bin`` files: read with ``weights_only=True``, so no code is run."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mergecast.checkpoints import dtypes
from mergecast.checkpoints.checkpoint import Array, Checkpoint, TensorInfo
from mergecast.errors import CheckpointError

if TYPE_CHECKING:
    import torch

#: Keys under which training scripts keep the weights beside other state.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "weights")


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
    return TorchCheckpoint(path, load_tensors(path))


def open_torch_sharded(index: Path) -> TorchCheckpoint:
    """The shards that ``pytorch_model.bin.index.json`` lists."""
    from mergecast.checkpoints.safetensors_file import read_index

    tensors: dict[str, torch.Tensor] = {}
    for shard in sorted(set(read_index(index).values())):
        tensors.update(load_tensors(index.parent / shard))
    return TorchCheckpoint(index.parent, tensors)


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Name to tensor of one file; raises CheckpointError for code, non-tensors and damage."""
    payload = _load(path)
    if isinstance(payload, Mapping):
        inner = [k for k in WRAPPERS if isinstance(payload.get(k), Mapping)]
        if inner and not _all_tensors(payload):
            payload = payload[inner[0]]
    if not isinstance(payload, Mapping):
        raise CheckpointError(
            path,
            f"holds a {type(payload).__name__}, not a state dict of tensors",
            "save model.state_dict()",
        )
    if not _all_tensors(payload):
        name, value = next((k, v) for k, v in payload.items() if not _is_tensor(v))
        raise CheckpointError(
            path,
            f"entry {name!r} is a {type(value).__name__}, not a tensor",
            "save model.state_dict() alone",
        )
    return {str(name): tensor.detach() for name, tensor in payload.items()}


def _load(path: Path) -> Any:
    import torch

    try:
        if path.stat().st_size == 0:
            raise CheckpointError(path, "is empty (0 bytes)", "copy or download it again")
        mapped = zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found or "Unsupported class" in str(error):
            what = f" ({found.group(1)})" if found else ""
            raise CheckpointError(
                path,
                f"holds pickled Python code{what}, which is never run",
                "save its state dict as safetensors in a place you trust",
            ) from None
        raise _damaged(path, error) from error
    except OSError as error:
        raise CheckpointError(
            path, f"cannot be opened: {error.strerror or error}", "check path and permissions"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return CheckpointError(
        path, f"corrupt or not a torch checkpoint ({reason})", "copy or download it again"
    )


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.layout == torch.strided


def _all_tensors(payload: Mapping[Any, Any]) -> bool:
    return all(_is_tensor(value) for value in payload.values())


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
