"""Methods that combine task matrices in their singular bases; vectors are averaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mergecast.merging.decompositions import current, plain_svd, svd
from mergecast.merging.method import TensorBlock, merging_method

if TYPE_CHECKING:
    import torch


@merging_method(
    "tsv",
    reference="Gargiulo et al. 2025, 'Task singular vectors', arXiv 2412.00081 (TSV-M)",
)
def tsv(
    block: TensorBlock, *, scaling: Annotated[float, Field(gt=-10, lt=10)] = 1.0
) -> torch.Tensor:
    """Keep rank/N of each task matrix, decorrelate the kept singular vectors, sum.

    Parameters
    ----------
    scaling : float
        Factor on the merged task matrix.
    """
    import torch

    if not block.is_matrix:
        return block.deltas.mean(0)
    kept = max(1, min(block.base.shape) // len(block.deltas))
    left, values, right = [], [], []
    for delta in block.deltas:
        u, s, vh = directions(delta, kept)
        left.append(u)
        values.append(s)
        right.append(vh)
    merged: torch.Tensor = (orthogonalise(torch.cat(left, 1)) * torch.cat(values)) @ (
        orthogonalise(torch.cat(right, 0))
    )
    return merged * scaling


@merging_method(
    "isotropic",
    reference="Marczak et al. 2025, 'No task left behind', arXiv 2502.04959 (Iso-C)",
)
def isotropic(
    block: TensorBlock, *, scaling: Annotated[float, Field(gt=-10, lt=10)] = 1.0
) -> torch.Tensor:
    """Sum the task matrices and give every singular direction of the sum the mean weight.

    Parameters
    ----------
    scaling : float
        Factor on the merged task matrix.
    """
    import torch

    if not block.is_matrix:
        return block.deltas.mean(0)
    total = block.deltas.sum(0)
    u, s, vh = directions(total, min(total.shape))
    if not len(s):
        return torch.zeros_like(total)
    merged: torch.Tensor = (u @ vh) * (s.mean() * scaling)
    return merged


@merging_method(
    "iso_cts",
    reference="Marczak et al. 2025, 'No task left behind', arXiv 2502.04959 (Iso-CTS)",
)
def iso_cts(
    block: TensorBlock,
    *,
    common_fraction: Annotated[float, Field(gt=0, le=1)] = 0.8,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 1.0,
) -> torch.Tensor:
    """Iso-C on a common subspace, with the rest of the rank given to single tasks.

    Parameters
    ----------
    common_fraction : float
        Share of the rank taken from the sum of the task matrices.
    scaling : float
        Factor on the merged task matrix.
    """
    import torch

    if not block.is_matrix:
        return block.deltas.mean(0)
    n, size = len(block.deltas), min(block.base.shape)
    # The authors' discretisation: the tasks' share is rounded to a multiple of their number.
    own = min(round((size - int(size * common_fraction)) / n), size // n)
    total = block.deltas.sum(0)
    parts = [directions(total, size - own * n)]
    common = parts[0][0]
    for delta in block.deltas if own else ():
        if not bool(delta.any()):
            continue
        rest = delta - common @ (common.mT @ delta)
        parts.append(directions(rest, own, scale=_largest(delta)))
    left, values, right = (list(side) for side in zip(*parts, strict=True))
    if not len(torch.cat(values)):
        return torch.zeros_like(total)
    merged = orthogonalise(torch.cat(left, 1)) @ orthogonalise(torch.cat(right, 0))
    return merged * (torch.cat(values).mean() * scaling)


def directions(
    matrix: torch.Tensor, count: int, scale: float | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The first `count` singular triplets of a matrix, those of zero weight left out.

    A direction whose singular value is rounding is arbitrary (whatever LAPACK returns), and the
    methods here would give it the weight of a real one: a LoRA's merge would be mostly noise.

    Parameters
    ----------
    scale : float, optional
        What zero is measured against; the largest singular value by default.

    Returns
    -------
    tuple of (Tensor, Tensor, Tensor)
        u (m, k), s (k,) descending, vh (k, n) with k ≤ count, the numerical rank.
    """
    if not bool(matrix.any()):
        # A base's copy among the members: no direction has weight, whatever LAPACK would return.
        return matrix[:, :0], matrix.new_zeros(0), matrix[:0]
    u, s, vh = svd(matrix)
    against = float(s[0]) if scale is None else scale
    kept = min(count, int((s > _tolerance(s) * against).sum()))
    return u[:, :kept], s[:kept], vh[:kept]


def orthogonalise(vectors: torch.Tensor) -> torch.Tensor:
    """The polar factor of `vectors`, by SVD: the nearest matrix with orthonormal rows or columns.

    Columns are orthonormal for tall input ``(m, k ≤ m)``, rows for wide input. Where the vectors
    are linearly dependent (models that share directions, or are equal) it is the partial isometry
    of the polar decomposition: what would be left to choose is arbitrary and stays zero.
    """
    u, s, vh = plain_svd(vectors)
    if not len(s):
        return vectors
    kept = int((s > _tolerance(s) * s[0]).sum())
    factor: torch.Tensor = u[:, :kept] @ vh[:kept]
    return factor


def _tolerance(values: torch.Tensor) -> float:
    """Below this share of the largest, a singular value of this precision is rounding."""
    import torch

    return 1e-12 if values.dtype == torch.float64 else 1e-6


def _largest(matrix: torch.Tensor) -> float:
    """The largest singular value; by itself cheaper than all of them with their directions."""
    import torch

    if current() is not None:
        return float(svd(matrix)[1][0])
    return float(torch.linalg.matrix_norm(matrix, 2))
