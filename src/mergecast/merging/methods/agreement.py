"""Methods that weigh entries by how the members' task vectors agree there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mergecast.merging.gram import gram
from mergecast.merging.method import TensorBlock, merging_method
from mergecast.merging.sparsity import kth_smallest

if TYPE_CHECKING:
    import torch

_RAM = "'Reinforced agent merging' 2026, arXiv 2601.13572, as mergekit's"
#: Below this a denominator of Model Stock's ratio is zero: updates that cancel out.
_SINGULAR = 1e-6


@merging_method(
    "model_stock", reference="Jang et al. 2024, 'Model stock', arXiv 2403.19522", min_members=2
)
def model_stock(
    block: TensorBlock, *, per: Literal["tensor", "filter", "row"] = "tensor"
) -> torch.Tensor:
    """Scale the mean task vector by how far the members' task vectors point the same way.

    With the mean cosine c of the N members' pairs the factor is N c / (1 + (N - 1) c).

    Parameters
    ----------
    per : {"tensor", "filter", "row"}
        What has a factor of its own: the tensor, each output of a layer, or each vector along the
        last axis, which is what mergekit's ``filter_wise`` means (of matrices it is the same).
    """
    import torch

    count, mean = len(block.deltas), block.deltas.mean(0)
    if per == "tensor":
        squares = gram(block)
        norms = squares.diagonal().sqrt()
        cosines = squares / (norms[:, None] * norms).clamp(min=torch.finfo(norms.dtype).tiny)
        pairs = cosines.triu(1).sum() / (count * (count - 1) / 2)
        return mean * _stock_factor(pairs, count).to(mean.dtype)
    length = block.base.shape[-1] if block.base.dim() and per == "row" else 0
    rows = length or block.base.numel() // (len(block.base) if block.base.dim() > 1 else 1)
    vectors = block.deltas.reshape(count, -1, rows).double()
    norms = vectors.norm(dim=2)
    pairs = torch.zeros_like(norms[0])
    for i in range(count):
        for j in range(i):
            product = (norms[i] * norms[j]).clamp(min=torch.finfo(norms.dtype).tiny)
            pairs += (vectors[i] * vectors[j]).sum(1) / product
    factors = _stock_factor(pairs / (count * (count - 1) / 2), count)
    return (mean.reshape(-1, rows) * factors.to(mean.dtype)[:, None]).reshape(mean.shape)


def _stock_factor(cosine: torch.Tensor, count: int) -> torch.Tensor:
    """N c / (1 + (N - 1) c); zero where updates cancel out, as the formula has no limit there."""
    below = 1 + (count - 1) * cosine
    zero = below.abs() < _SINGULAR
    return count * cosine * ~zero / (below + zero)


@merging_method(
    "sce", reference="Wan et al. 2024, 'FuseChat', arXiv 2408.07990 (SCE), with mergekit's defaults"
)
def sce(
    block: TensorBlock, *, select_topk: Annotated[float, Field(gt=0, le=1)] = 1.0
) -> torch.Tensor:
    """Select entries that vary among members, weigh members by their squares, erase minorities.

    Parameters
    ----------
    select_topk : float
        Share of the entries that differ among members which is kept, those of largest variance.
    """
    deltas = block.deltas
    if select_topk < 1:
        spread = deltas.var(0, correction=0)
        kept = int(int((spread > 0).sum()) * select_topk)
        if not kept:
            return spread * 0
        mask = spread >= kth_smallest(spread, spread.numel() - kept + 1)
        deltas = deltas * mask
    sizes = deltas.reshape(len(deltas), -1).double().square().mean(1)
    total = float(sizes.sum())
    weights = (sizes / total if total > 0 else sizes + 1 / len(sizes)).to(deltas.dtype)
    elected = deltas.sum(0).sign()
    elected = elected + (elected == 0).to(elected.dtype)
    merged, divisor = elected * 0, elected * 0
    for delta, weight in zip(deltas, weights, strict=True):
        agrees = (delta * elected > 0).to(delta.dtype) * weight
        merged += delta * agrees
        divisor += agrees
    return merged / (divisor + (divisor == 0).to(divisor.dtype))


@merging_method("ram", reference=f"{_RAM} ram")
def ram(block: TensorBlock, *, epsilon: Annotated[float, Field(ge=0)] = 1e-5) -> torch.Tensor:
    """Keep what one member alone changed, average what several did.

    Parameters
    ----------
    epsilon : float
        Entries of a task vector no larger than that are unchanged.
    """
    return _reinforced(block, epsilon, 0.0, 0.0)


@merging_method("ramplus_tl", reference=f"{_RAM} ramplus_tl")
def ramplus_tl(
    block: TensorBlock,
    *,
    r: Annotated[float, Field(ge=0)] = 0.1,
    alpha: Annotated[float, Field(ge=0)] = 0.2,
    epsilon: Annotated[float, Field(ge=0)] = 1e-5,
) -> torch.Tensor:
    """As ``ram``, with more of what a member alone changed where it shares much with others.

    Parameters
    ----------
    r : float
        A member's own entries are scaled by 1 + r · ρ, ρ being the number of entries of the tensor
        that it shares over the number of those it alone changed.
    alpha : float
        The most that ρ counts.
    epsilon : float
        As in ``ram``.
    """
    return _reinforced(block, epsilon, r, alpha)


def _reinforced(block: TensorBlock, epsilon: float, r: float, alpha: float) -> torch.Tensor:
    counts = block.base * 0
    for delta in block.deltas:
        counts += delta.abs() > epsilon
    alone = (counts == 1).to(counts.dtype)
    share = 1 / counts.clamp(min=1)
    merged = block.base * 0
    for delta in block.deltas:
        changed = (delta.abs() > epsilon).to(delta.dtype)
        part = delta * changed * share
        if r:
            own = float((changed * alone).sum())
            ratio = (float(changed.sum()) - own) / max(own, epsilon)
            part *= 1 + alone * (r * min(ratio, alpha))
        merged += part
    return merged
