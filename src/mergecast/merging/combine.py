"""Sums and means of task vectors by the members' weights, and TIES' election."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mergecast.errors import UsageError
from mergecast.merging.method import TensorBlock

if TYPE_CHECKING:
    import torch

#: Sums of weights nearer to zero than this share of their sizes are zero.
_NOTHING = 1e-9


def weighted_sum(
    block: TensorBlock, vectors: torch.Tensor, *, normalize: bool = False
) -> torch.Tensor:
    """Σ wᵢ vᵢ of `vectors` (N, …), one a member; divided by Σ wᵢ if `normalize`."""
    import torch

    if block.alike and (normalize or block.given is None):
        return vectors.mean(0) if normalize else vectors.sum(0)
    weights = block.weights.to(vectors.dtype)
    if normalize:
        weights = weights / total_weight(block)
    summed: torch.Tensor = torch.tensordot(weights, vectors, dims=1)
    return summed


def total_weight(block: TensorBlock) -> float:
    """Σ wᵢ, which a mean divides by; raises UsageError where it is zero."""
    total, sizes = sum(block.given or (1,)), sum(map(abs, block.given or (1,)))
    if block.given is None:
        return float(len(block.members))
    if abs(total) <= _NOTHING * sizes:
        given = ", ".join(f"{k}={v}" for k, v in zip(block.members, block.given, strict=True))
        raise UsageError("weights", f"add up to 0 ({given})", "give others, or normalize=false")
    return total


def elected_mean(
    block: TensorBlock,
    kept: torch.Tensor,
    *,
    sign: str = "mass",
    vote: str = "weighted",
    normalize: bool = True,
) -> torch.Tensor:
    """TIES' election and merge: the weighted mean of the entries that carry the elected sign.

    Parameters
    ----------
    block : TensorBlock
        For the members' weights.
    kept : Tensor
        (N, …), what is left of the task vectors; used up where there are weights.
    sign : {"mass", "count"}
        Elected is the sign of the sum of the entries, or the one that most of them have. An entry
        without a majority keeps the tensor's overall elected sign.
    vote : {"weighted", "equal"}
        Whether weights count in the election, or only in the mean.
    normalize : bool
        Divide by the weights of the members that agree; otherwise it is a sum.
    """
    import torch

    weights = None if block.given is None else block.weights
    if weights is not None and vote == "equal":
        elected = _elected(kept, sign)
        _scale(kept, weights)
    else:
        if weights is not None:
            _scale(kept, weights)
        elected = _elected(kept, sign)
    total = torch.zeros_like(elected)
    count = torch.zeros_like(elected)
    for i, delta in enumerate(kept):
        # Products with masks instead of torch.where, which is several times slower on the CPU.
        agrees = (delta * elected > 0).to(delta.dtype)
        total += delta * agrees
        if normalize:
            count += agrees if weights is None else agrees * weights[i]
    if not normalize:
        return total
    if weights is None:
        return total / count.clamp_(min=1)
    return total / (count + (count == 0).to(count.dtype))


def _elected(kept: torch.Tensor, sign: str) -> torch.Tensor:
    votes = kept.sum(0) if sign == "mass" else kept.sign().sum(0)
    elected = votes.sign()
    return elected + (elected == 0).to(elected.dtype) * elected.sum().sign()


def _scale(kept: torch.Tensor, weights: torch.Tensor) -> None:
    kept.mul_(weights.reshape(-1, *[1] * (kept.dim() - 1)))
