"""Merging in the subspace that low-rank members (LoRA) span together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mergecast.merging.combine import elected_mean, weighted_sum
from mergecast.merging.method import TensorBlock, merging_method
from mergecast.merging.methods.spectral import directions
from mergecast.merging.parameters import Each
from mergecast.merging.sparsity import trim

if TYPE_CHECKING:
    import torch

#: Columns of the basis that low-rank members are looked for in.
_SKETCH = 192
#: Share of a matrix's norm that may lie outside, by the bytes of its numbers.
_OUTSIDE = {4: 1e-6, 8: 1e-12}


@merging_method(
    "knots_ties",
    reference="Stoica et al. 2025, 'Model merging with SVD to tie the KnOTS', arXiv 2410.19735; "
    "Yadav et al. 2023, arXiv 2306.01708",
    weights="positive",
)
def knots_ties(
    block: TensorBlock,
    *,
    density: Each[Annotated[float, Field(gt=0, le=1)]] = 0.2,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 0.3,
    sign: Literal["mass", "count"] = "mass",
    vote: Literal["weighted", "equal"] = "weighted",
    normalize: bool = True,
) -> torch.Tensor:
    """TIES on the members' right factors in the output directions that they share.

    The task matrices side by side are U Σ [V₁ … V_N]; TIES merges the Vᵢ, and U Σ takes the
    result back. Vectors and tensors of more axes are averaged.

    Parameters
    ----------
    density : float
        Share of entries of each Vᵢ kept, by magnitude.
    scaling : float
        Factor on the merged task matrix.
    sign, vote, normalize
        As in ``ties``.
    """
    import torch

    if not block.is_matrix:
        return weighted_sum(block, block.deltas, normalize=True)
    count, inputs = len(block.deltas), block.base.shape[1]
    beside = torch.cat(list(block.deltas), 1)
    basis = common_outputs(beside)
    u, s, vh = directions(beside if basis is None else basis.mT @ beside, min(beside.shape))
    if basis is not None:
        u = basis @ u
    if not len(s):
        return torch.zeros_like(block.base)
    parts = vh.reshape(len(s), count, inputs).transpose(0, 1)
    kept = trim(parts, block.each(density))
    merged = elected_mean(block, kept, sign=sign, vote=vote, normalize=normalize)
    tied: torch.Tensor = (u * s) @ merged * scaling
    return tied


def common_outputs(matrix: torch.Tensor) -> torch.Tensor | None:
    """An orthonormal basis (m, k) of the columns of a matrix of low rank; None for another one.

    Random combinations of the columns span them all, if there are a few more than the rank
    (Halko, Martinsson and Tropp 2011). Decomposing what is left in the basis then takes a
    fraction of the time; whether nothing is left outside is measured.
    """
    import torch

    if min(matrix.shape) < 2 * _SKETCH:
        return None
    draw = torch.Generator().manual_seed(0)
    mixing = torch.randn((matrix.shape[1], _SKETCH), generator=draw, dtype=matrix.dtype)
    basis, _ = torch.linalg.qr(matrix @ mixing.to(matrix.device))
    outside = float((matrix - basis @ (basis.mT @ matrix)).norm())
    return basis if outside <= _OUTSIDE[matrix.dtype.itemsize] * float(matrix.norm()) else None
