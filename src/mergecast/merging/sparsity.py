"""Ways of dropping entries of task vectors, each by a density of its own for every member."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from mergecast.errors import UsageError
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


def without_outliers(
    deltas: torch.Tensor, densities: Sequence[float], gammas: Sequence[float]
) -> torch.Tensor:
    """Model Breadcrumbs' mask: of each ``deltas[i]`` the share ``gammas[i]`` of the largest
    magnitudes goes, and the smallest, until the share ``densities[i]`` is left.

    Where both shares do not fit, fewer outliers go. At least one entry is kept.
    """
    import torch

    kept = torch.empty_like(deltas)
    for i, (delta, density, gamma) in enumerate(zip(deltas, densities, gammas, strict=True)):
        count, size = delta.numel(), delta.abs()
        left = max(1, int(density * count))
        below = max(0, count - left - int(gamma * count))
        if left == count:
            kept[i] = delta
            continue
        low, high = kth_smallest(size, below + 1, below + left)
        torch.mul(delta, (size >= low) & (size <= high), out=kept[i])
    return kept


def magprune(
    block: TensorBlock, densities: Sequence[float], epsilons: Sequence[float], rescale: Rescale
) -> torch.Tensor:
    """DELLA's dropping: in each row, entries of larger magnitude are kept more probably.

    An entry of rank r of n (the smallest is 0) is kept with probability
    density - epsilon + 2 · epsilon · r / (n - 1). `rescale` divides each by its own probability.
    """
    import torch

    kept = torch.empty_like(block.deltas)
    members = zip(block.members, block.deltas, densities, epsilons, strict=True)
    for i, (member, delta, density, epsilon) in enumerate(members):
        if density == 1:
            kept[i] = delta
            continue
        if not 0 < density - epsilon <= density + epsilon <= 1:
            raise UsageError(
                f"epsilon of model {member!r}",
                f"is {epsilon} beside a density of {density}",
                "give values with density ± epsilon above 0 and not above 1",
            )
        rows = delta.reshape(len(delta) if delta.dim() > 1 else 1, -1)
        chance = magnitude_ranks(rows).mul_(2 * epsilon / max(1, rows.shape[1] - 1))
        chance += density - epsilon if rows.shape[1] > 1 else density
        draw = torch.rand(rows.shape, generator=block.generator(member)).to(delta.device)
        part = rows * (draw < chance)
        kept[i] = (part / chance if rescale is True else part).reshape(delta.shape)
    return rescaled(kept, block.deltas, [], "l1") if rescale == "l1" else kept


def magnitude_ranks(rows: torch.Tensor) -> torch.Tensor:
    """Rank of every entry's magnitude in its row, from 0, in the rows' dtype."""
    import torch

    size = rows.abs()
    # NumPy's sort is about six times as fast as torch's on the CPU.
    order = size.argsort(1) if size.is_cuda else torch.from_numpy(np.argsort(size.numpy(), 1))
    places = torch.arange(rows.shape[1], dtype=rows.dtype, device=rows.device)
    return size.scatter_(1, order, places.expand_as(rows))


def kth_smallest(values: torch.Tensor, *ranks: int) -> torch.Tensor:
    """The elements of these ranks (from 1) by size: a 0-d tensor for one, else one a rank.

    NumPy's partition is about three times as fast as ``torch.kthvalue`` on the CPU.
    """
    import torch

    flat = values.reshape(-1)
    if flat.is_cuda:
        found = torch.stack([flat.kthvalue(k).values for k in ranks])
    else:
        places = [k - 1 for k in ranks]
        found = torch.from_numpy(np.partition(flat.numpy(), places)[places])
    return found[0] if len(ranks) == 1 else found
