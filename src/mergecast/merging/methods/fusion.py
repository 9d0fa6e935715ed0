"""Methods that put a part of one model into another, the host.

A single member is put into the base. Of two, the first by label is the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mergecast.merging.method import TensorBlock, merging_method
from mergecast.merging.sparsity import kth_smallest

if TYPE_CHECKING:
    import torch

#: Added to probabilities, so that none is zero.
_EPSILON = 1e-8


@merging_method(
    "nearswap",
    reference="alchemonaut 2024, QuartetAnemoi-70B-t0.0001; mergekit's nearswap",
    max_members=2,
)
def nearswap(block: TensorBlock, *, t: Annotated[float, Field(gt=0)] = 1e-4) -> torch.Tensor:
    """Move the host's weights towards the guest's, each by at most `t`.

    Parameters
    ----------
    t : float
        The largest change of an entry: nearer ones take the guest's value.
    """
    host, guest = _host_and_guest(block)
    return host + (guest - host).clamp(-t, t)


@merging_method(
    "arcee_fusion", reference="Arcee 2024, 'Arcee Fusion'; mergekit's arcee_fusion", max_members=2
)
def arcee_fusion(block: TensorBlock) -> torch.Tensor:
    """Take from the guest the entries of outstanding importance, the rest from the host.

    Importance is the change of an entry times the Kullback-Leibler divergence of the softmax of
    its row, guest against host; outstanding is what reaches the median plus 1.5 interquartile
    ranges.
    """
    import torch

    host, guest = _host_and_guest(block)
    logits = block.base + host, block.base + guest
    q, p = (torch.softmax(one, -1).add_(_EPSILON) for one in logits)
    divergence = (p * (p / q).log_()).sum(-1, keepdim=True) if p.dim() else p * 0
    del p, q
    change = guest - host
    importance = change.abs() * divergence
    last = importance.numel() - 1
    low, middle, high = kth_smallest(importance, *(1 + int(q * last) for q in (0.25, 0.5, 0.75)))
    fused: torch.Tensor = host + change * (importance >= middle + 1.5 * (high - low))
    return fused


def _host_and_guest(block: TensorBlock) -> tuple[torch.Tensor, torch.Tensor]:
    """Their differences from the base."""
    if len(block.members) == 1:
        return block.deltas[0] * 0, block.deltas[0]
    first, second = sorted(range(2), key=lambda i: block.members[i])
    return block.deltas[first], block.deltas[second]
