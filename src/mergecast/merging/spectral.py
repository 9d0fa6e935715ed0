"""Methods that combine task matrices in their singular bases; vectors are averaged."""

from typing import Annotated

import torch
from pydantic import Field

from mergecast.merging.method import TensorBlock, merging_method


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
    scaling : factor on the merged task matrix.
    """
    if not block.is_matrix:
        return block.deltas.mean(0)
    n = len(block.deltas)
    kept = max(1, min(block.base.shape) // n)
    u, s, vh = torch.linalg.svd(block.deltas, full_matrices=False)
    left = torch.cat(list(u[:, :, :kept]), dim=1)
    right = torch.cat(list(vh[:, :kept]), dim=0)
    values = s[:, :kept].reshape(-1)
    merged: torch.Tensor = (orthogonalise(left) * values) @ orthogonalise(right)
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
    scaling : factor on the merged task matrix.
    """
    if not block.is_matrix:
        return block.deltas.mean(0)
    u, s, vh = torch.linalg.svd(block.deltas.sum(0), full_matrices=False)
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
    common_fraction : share of the rank taken from the sum of the task matrices.
    scaling : factor on the merged task matrix.
    """
    if not block.is_matrix:
        return block.deltas.mean(0)
    n, rank = len(block.deltas), min(block.base.shape)
    own = round(rank * (1 - common_fraction)) // n
    common = rank - own * n
    u, s, vh = torch.linalg.svd(block.deltas.sum(0), full_matrices=False)
    left, values, right = [u[:, :common]], [s[:common]], [vh[:common]]
    for delta in block.deltas:
        rest = delta - left[0] @ (left[0].mT @ delta)
        u_own, s_own, vh_own = torch.linalg.svd(rest, full_matrices=False)
        left.append(u_own[:, :own])
        values.append(s_own[:own])
        right.append(vh_own[:own])
    merged = orthogonalise(torch.cat(left, 1)) @ orthogonalise(torch.cat(right, 0))
    return merged * (torch.cat(values).mean() * scaling)


def orthogonalise(vectors: torch.Tensor) -> torch.Tensor:
    """The nearest matrix with orthonormal rows or columns (the polar factor), by SVD.

    Columns are orthonormal for tall input ``(m, k ≤ m)``, rows for wide input.
    """
    u, _, vh = torch.linalg.svd(vectors, full_matrices=False)
    factor: torch.Tensor = u @ vh
    return factor
