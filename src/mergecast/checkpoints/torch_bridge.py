"""NumPy arrays and torch tensors of the same memory, bfloat16 and 8-bit floats included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mergecast.checkpoints import dtypes
from mergecast.checkpoints.checkpoint import Array

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
