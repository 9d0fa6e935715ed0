"""Inner products of a block's vectors: what merges in the span of the members need of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from mergecast.merging.method import TensorBlock

if TYPE_CHECKING:
    import torch

#: What vectors are measured from: the zero of weight space, or the base (task vectors).
Origin: TypeAlias = Literal["zero", "base"]
#: Elements of one vector that are widened to float64 at a time.
_CHUNK = 1 << 18


def gram(block: TensorBlock, origin: Origin = "base") -> torch.Tensor:
    """Gram matrix (N, N), float64, of the members' vectors from `origin`."""
    import torch

    deltas, base = block.deltas.reshape(len(block.deltas), -1), block.base.reshape(1, -1)
    count = len(deltas)
    total = torch.zeros((count + 1, count + 1), dtype=torch.float64, device=deltas.device)
    for start in range(0, deltas.shape[1], _CHUNK):
        stop = start + _CHUNK
        part = torch.cat([base[:, start:stop], deltas[:, start:stop]]).double()
        total += part @ part.mT
    if origin == "base":
        return total[1:, 1:]
    points = torch.cat([total.new_ones(count, 1), torch.eye(count).to(total)], 1)
    return points @ total @ points.mT


def combined(block: TensorBlock, coefficients: torch.Tensor, origin: Origin) -> torch.Tensor:
    """The delta of Σ cᵢ vᵢ, for the members' vectors vᵢ from `origin`."""
    import torch

    factors = coefficients.to(block.deltas.dtype)
    delta: torch.Tensor = torch.tensordot(factors, block.deltas, dims=1)
    if origin == "zero":
        delta += block.base * (float(coefficients.sum()) - 1)
    return delta
