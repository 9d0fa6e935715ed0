"""Methods that drop entries of task vectors before combining them: TIES and DARE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from mergecast.merging.method import TensorBlock, merging_method

if TYPE_CHECKING:
    import torch

_TIES = "Yadav et al. 2023, 'TIES-Merging', arXiv 2306.01708"
_DARE = "Yu et al. 2024, 'Language models are super Mario', arXiv 2311.03099"


@merging_method("ties", reference=_TIES)
def ties(
    block: TensorBlock,
    *,
    density: Annotated[float, Field(gt=0, le=1)] = 0.2,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 0.3,
    sign: Literal["mass", "count"] = "mass",
) -> torch.Tensor:
    """Trim each task vector, elect a sign per entry, average what agrees with it.

    Trimming is per tensor, as in the code the published figures come from.

    Parameters
    ----------
    density : float
        Share of entries of each task vector kept, by magnitude.
    scaling : float
        Factor on the merged task vector.
    sign : {"mass", "count"}
        ``mass`` elects the sign of the sum of the kept entries, ``count`` the sign that most of
        them have; an entry without a majority keeps the tensor's overall elected sign.
    """
    return disjoint_mean(trim(block.deltas, density), sign) * scaling


@merging_method("dare", reference=_DARE)
def dare(
    block: TensorBlock,
    *,
    drop_rate: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    mask: Literal["random", "magnitude"] = "random",
    rescale: bool = True,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 1.0,
) -> torch.Tensor:
    """Drop most entries of each task vector, rescale the rest, average.

    Parameters
    ----------
    drop_rate : float
        Share of entries set to zero.
    mask : {"random", "magnitude"}
        ``random`` entries (a stream per seed, model and parameter), or those of the smallest
        ``magnitude``.
    rescale : bool
        Divide what is left by ``1 - drop_rate``.
    scaling : float
        Factor on the mean.
    """
    return drop(block, drop_rate, mask, rescale).mean(0) * scaling


@merging_method("dare_ties", reference=f"{_DARE}; {_TIES}")
def dare_ties(
    block: TensorBlock,
    *,
    drop_rate: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    mask: Literal["random", "magnitude"] = "random",
    rescale: bool = True,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 1.0,
    sign: Literal["mass", "count"] = "mass",
) -> torch.Tensor:
    """DARE's dropping in place of TIES' trimming, then TIES' sign election and mean.

    Parameters
    ----------
    drop_rate, mask, rescale
        As in ``dare``.
    scaling : float
        Factor on the merged task vector.
    sign : {"mass", "count"}
        As in ``ties``.
    """
    return disjoint_mean(drop(block, drop_rate, mask, rescale), sign) * scaling


def trim(deltas: torch.Tensor, density: float) -> torch.Tensor:
    """Zero all but the ``int(density · numel)`` largest magnitudes of each ``deltas[i]``.

    At least one entry is kept, and so is every entry equal to the smallest kept.
    """
    import torch

    kept = torch.empty_like(deltas)
    for i, delta in enumerate(deltas):
        size = delta.abs()
        dropped = delta.numel() - max(1, int(delta.numel() * density))
        torch.mul(delta, size >= kth_smallest(size, dropped + 1), out=kept[i])
    return kept


def drop(block: TensorBlock, rate: float, mask: str, rescale: bool) -> torch.Tensor:
    """DARE's dropping: ``(N, *shape)`` with the share `rate` of entries zeroed per member."""
    import torch

    kept = torch.empty_like(block.deltas)
    for i, (member, delta) in enumerate(zip(block.members, block.deltas, strict=True)):
        if mask == "magnitude":
            size = delta.abs()
            keep = size >= kth_smallest(size, int(delta.numel() * rate) + 1)
        else:
            draw = torch.rand(delta.shape, generator=block.generator(member))
            keep = draw.to(delta.device) >= rate
        torch.mul(delta, keep, out=kept[i])
    return kept / (1 - rate) if rescale else kept


def disjoint_mean(deltas: torch.Tensor, sign: str) -> torch.Tensor:
    """TIES' election and merge: the mean of the nonzero entries that carry the elected sign."""
    import torch

    votes = deltas.sum(0) if sign == "mass" else deltas.sign().sum(0)
    elected = votes.sign()
    # Products with masks instead of torch.where, which is several times slower on the CPU.
    elected = elected + (elected == 0).to(elected.dtype) * elected.sum().sign()
    total = torch.zeros_like(elected)
    count = torch.zeros_like(elected)
    for delta in deltas:
        agrees = (delta * elected > 0).to(delta.dtype)
        total += delta * agrees
        count += agrees
    return total / count.clamp_(min=1)


def kth_smallest(values: torch.Tensor, k: int) -> torch.Tensor:
    """The k-th smallest element (k from 1) as a 0-d tensor.

    NumPy's partition is about three times as fast as ``torch.kthvalue`` on the CPU.
    """
    import torch

    flat = values.reshape(-1)
    if flat.is_cuda:
        return flat.kthvalue(k).values
    return torch.as_tensor(np.partition(flat.numpy(), k - 1)[k - 1])
