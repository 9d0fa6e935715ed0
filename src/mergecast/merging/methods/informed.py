"""Methods that weigh by what is known of the members' tasks: RegMean and Fisher merging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mergecast.merging.combine import weighted_sum
from mergecast.merging.method import TensorBlock, merging_method

if TYPE_CHECKING:
    import torch

#: Share of the moments' norm that is added to their diagonal.
_DAMPING = 1e-10


@merging_method(
    "regmean",
    reference="Jin et al. 2023, 'Dataless knowledge fusion', arXiv 2212.09849 (RegMean)",
    weights="positive",
    evidence="inputs",
)
def regmean(
    block: TensorBlock, *, alpha: Annotated[float, Field(ge=0, le=1)] = 0.9
) -> torch.Tensor:
    """The layer whose outputs are nearest to every member's on that member's own inputs.

    With the second moments C of the inputs it is (Σ τ C)(Σ C)⁻¹. What is no layer's weight is
    averaged.

    Parameters
    ----------
    alpha : float
        Factor on what stands off the diagonal of C.
    """
    import torch

    if block.evidence is None:
        return weighted_sum(block, block.deltas, normalize=True)
    deltas = block.deltas.flatten(2)
    deltas = (deltas.mT if block.transposed else deltas).double()
    target = torch.zeros_like(deltas[0])
    moments = target.new_zeros(deltas.shape[2], deltas.shape[2])
    for delta, moment, weight in zip(deltas, block.evidence, block.weights.double(), strict=True):
        shrunk = moment.double() * (weight * alpha)
        shrunk.diagonal().add_(moment.double().diagonal() * (weight * (1 - alpha)))
        moments += shrunk
        target += delta @ shrunk
    size = float(moments.norm())
    if size == 0:
        return weighted_sum(block, block.deltas, normalize=True)
    # Directions that no input has, which nothing is known about, are averaged.
    spare = _DAMPING * size
    moments.diagonal().add_(spare)
    target += spare * weighted_sum(block, deltas, normalize=True)
    merged = torch.cholesky_solve(target.mT, torch.linalg.cholesky(moments)).mT
    merged = merged.mT if block.transposed else merged
    return merged.reshape(block.base.shape).to(block.deltas.dtype)


@merging_method(
    "fisher",
    reference="Matena and Raffel 2022, 'Merging models with Fisher-weighted averaging', "
    "arXiv 2111.09832",
    weights="positive",
    evidence="fisher",
)
def fisher(
    block: TensorBlock, *, floor: Annotated[float, Field(ge=0, lt=1)] = 1e-6
) -> torch.Tensor:
    """The mean of each entry, weighted by how much the member's loss depends on it.

    Parameters
    ----------
    floor : float
        Added to every member's Fisher information, as a share of the tensor's largest.
    """
    import torch

    plain = weighted_sum(block, block.deltas, normalize=True)
    if block.evidence is None:
        return plain
    known = torch.stack(block.evidence)
    largest = known.max()
    if not bool(largest > 0):
        return plain
    weights = block.weights.reshape(-1, *[1] * block.base.dim())
    known = (known / largest + floor) * weights
    total = known.sum(0)
    unknown = (total == 0).to(total.dtype)
    return (known * block.deltas).sum(0) / (total + unknown) + plain * unknown
