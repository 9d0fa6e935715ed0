"""NumPy arrays and torch tensors of the same memory, bfloat16 and 8-bit floats included."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mergecast.checkpoints import dtypes
from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.typing import Array

if TYPE_CHECKING:
    import torch

_BY_NAME = {dtype.name: dtype for dtype in dtypes.SAFETENSORS.values()}


def to_array(tensor: torch.Tensor) -> Array:
    """A CPU view of a tensor as a NumPy array of the same dtype (copied where not contiguous)."""
    import torch

    tensor = tensor.detach().cpu().contiguous()
    dtype = _BY_NAME[str(tensor.dtype).removeprefix("torch.")]
    if dtype.isbuiltin == 1:
        return tensor.numpy()
    if tensor.dim() == 0:
        return tensor.reshape(1).view(torch.uint8).numpy().view(dtype).reshape(())
    return tensor.view(torch.uint8).numpy().view(dtype)


def to_tensor(array: Array) -> torch.Tensor:
    """A torch tensor over the memory of a NumPy array (copied where not contiguous)."""
    import torch

    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    if array.dtype.isbuiltin == 1:
        return torch.from_numpy(array)
    torch_dtype: torch.dtype = getattr(torch, array.dtype.name)
    return torch.from_numpy(array.reshape(-1).view(np.uint8)).view(torch_dtype).reshape(array.shape)


def read_state(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint in memory, floats in float32 (float64 if stored so)."""
    state = {}
    for name, info in checkpoint.infos.items():
        if info.is_floating:
            state[name] = to_tensor(checkpoint.floats(name).reshape(info.shape))
        else:
            state[name] = to_tensor(checkpoint.array(name))
    return state


def state_digest(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 (hex) of named tensors, in sorted order of names."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name}:{value.dtype}:{list(value.shape)}:".encode())
        digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).data)
    return digest.hexdigest()
