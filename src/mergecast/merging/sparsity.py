"""Ways of dropping entries of task vectors, each by a density of its own for every member."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from mergecast.merging.method import TensorBlock

if TYPE_CHECKING:
    import torch

#: What is left is divided by its density (true), or scaled to the L1 norm there was ("l1").
Rescale: TypeAlias = bool | Literal["l1"]


def trim(deltas: torch.Tensor, density: float | Sequence[float]) -> torch.Tensor:
    """Zero all but the ``int(density · numel)`` largest magnitudes of each ``deltas[i]``.

    At least one entry is kept, and so is every entry equal to the smallest kept.
    """
    import torch

    shares = density if isinstance(density, Sequence) else [density] * len(deltas)
    kept = torch.empty_like(deltas)
    for i, (delta, share) in enumerate(zip(deltas, shares, strict=True)):
        size = delta.abs()
        dropped = delta.numel() - max(1, int(delta.numel() * share))
        torch.mul(delta, size >= kth_smallest(size, dropped + 1), out=kept[i])
    return kept


def drop(
    block: TensorBlock, rates: Sequence[float], mask: str = "random", rescale: Rescale = True
) -> torch.Tensor:
    """DARE's dropping: ``(N, *shape)`` with the share ``rates[i]`` of entries zeroed."""
    import torch

    kept = torch.empty_like(block.deltas)
    rows = zip(block.members, block.deltas, rates, strict=True)
    for i, (member, delta, rate) in enumerate(rows):
        if mask == "magnitude":
            size = delta.abs()
            keep = size >= kth_smallest(size, int(delta.numel() * rate) + 1)
        else:
            draw = torch.rand(delta.shape, generator=block.generator(member))
            keep = draw.to(delta.device) >= rate
        torch.mul(delta, keep, out=kept[i])
    return rescaled(kept, block.deltas, [1 - rate for rate in rates], rescale)


def rescaled(
    kept: torch.Tensor, deltas: torch.Tensor, densities: Sequence[float], how: Rescale
) -> torch.Tensor:
    """`kept` made up for what was dropped of `deltas`; used up."""
    if how == "l1":
        import torch

        for part, whole in zip(kept, deltas, strict=True):
            before, after = (
                torch.linalg.vector_norm(one, 1, dtype=torch.float64) for one in (whole, part)
            )
            if after > 0:
                part.mul_(before / after)
    elif how and len(set(densities)) == 1:
        kept /= densities[0]
    elif how:
        for part, density in zip(kept, densities, strict=True):
            part /= density
    return kept


def kth_smallest(values: torch.Tensor, k: int) -> torch.Tensor:
    """The k-th smallest element (k from 1) as a 0-d tensor.

    NumPy's partition is about three times as fast as ``torch.kthvalue`` on the CPU.
    """
    import torch

    flat = values.reshape(-1)
    if flat.is_cuda:
        return flat.kthvalue(k).values
    return torch.as_tensor(np.partition(flat.numpy(), k - 1)[k - 1])
