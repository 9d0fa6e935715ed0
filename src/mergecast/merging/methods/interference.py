"""Methods that put one update in the place of all: the nearest to each on the inputs it reads.

What a layer's update τ does to its inputs x is τx. The update W for which the sum over the tasks of
E‖(W - τᵢ)x‖² is least is (Σ τᵢ Cᵢ)(Σ Cᵢ)⁻¹, Cᵢ being the second moment of task i's inputs. Without
data, τᵢᵀτᵢ stands for Cᵢ: fine-tuning moves a layer along the inputs that it was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mergecast.merging.combine import weighted_sum
from mergecast.merging.method import TensorBlock, merging_method

if TYPE_CHECKING:
    import torch

#: Share of the second moments' norm that is added to their diagonal: directions that are weaker
#: hold what rounding to float32 left of the base.
_DAMPING = 1e-10
#: Blocks that a symmetric product is made of.
_BLOCKS = 4


@merging_method(
    "actmat",
    reference="'Model merging via data-free covariance estimation' 2026: the solution of RegMean "
    "(Jin et al. 2023, arXiv 2212.09849) with second moments from task vectors",
    weights="positive",
)
def actmat(
    block: TensorBlock, *, scaling: Annotated[float, Field(gt=-10, lt=10)] = 1.0
) -> torch.Tensor:
    """The task matrix nearest to every member's on the inputs that its own task vector reads.

    Vectors and tensors of more axes are averaged.

    Parameters
    ----------
    scaling : float
        Factor on the merged task matrix.
    """
    if not block.is_matrix:
        return weighted_sum(block, block.deltas, normalize=True)
    return nearest(block.deltas, block.weights) * scaling


@merging_method(
    "wudi",
    reference="Cheng et al. 2025, 'Whoever started the interference should end it', "
    "arXiv 2503.08099 (WUDI-Merging)",
    weights="positive",
)
def wudi(
    block: TensorBlock, *, scaling: Annotated[float, Field(gt=-10, lt=10)] = 1.0
) -> torch.Tensor:
    """The task matrix that interferes least with every member's, each by its own size.

    The published loss, Σ ‖(W - τᵢ)τᵢᵀ‖² / ‖τᵢ‖², is quadratic: here it is solved, there
    descended for 300 steps. Vectors and tensors of more axes are averaged.

    Parameters
    ----------
    scaling : float
        Factor on the merged task matrix.
    """
    if not block.is_matrix:
        return weighted_sum(block, block.deltas, normalize=True)
    squares = block.deltas.square().sum((1, 2))
    return nearest(block.deltas, block.weights / (squares + (squares == 0))) * scaling


def nearest(deltas: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(Σ wᵢ τᵢ Cᵢ)(Σ wᵢ Cᵢ)⁻¹, Cᵢ = τᵢᵀτᵢ, of task matrices (N, m, n); zero where all are zero.

    Solved in the n inputs or, with R the matrices below each other, in their N·m rows, whichever
    are fewer: K R (RᵀR + d)⁻¹ is K (R Rᵀ + d)⁻¹ R. The system is in float64, since squares double
    the digits that directions of unequal weight take; its solution is applied in the deltas' dtype.
    """
    import torch

    count, outputs, inputs = deltas.shape
    if not bool(deltas.any()):
        return torch.zeros_like(deltas[0])
    if count * outputs < inputs:
        roots = weights.sqrt()
        rows = (deltas * roots[:, None, None]).reshape(-1, inputs)
        moments = _squares(rows.mT.double())
        places = [slice(i * outputs, (i + 1) * outputs) for i in range(count)]
        own = [
            moments[place, place] / (root + (root == 0))
            for place, root in zip(places, roots, strict=True)
        ]
        solved: torch.Tensor = _solved(moments, torch.cat(own, 1)).to(rows.dtype) @ rows
        return solved
    # The mean weighted by matrices is the first one and what the others, by their weights, add.
    first, *others = (
        _squares(delta.double()) * weight for delta, weight in zip(deltas, weights, strict=True)
    )
    for other in others:
        first += other
    merged = deltas[0].clone()
    parts = torch.split(_solved(first, torch.cat(others)), inputs) if others else ()
    for i, part in enumerate(parts, start=1):
        merged += (deltas[i] - deltas[0]) @ part.to(deltas.dtype)
    return merged


def _squares(columns: torch.Tensor) -> torch.Tensor:
    """AᵀA of A (k, n), each pair of blocks of columns multiplied once."""
    count = columns.shape[1]
    product = columns.new_empty(count, count)
    step = -(-count // _BLOCKS)
    for start in range(0, count, step):
        stop = min(start + step, count)
        part = columns[:, start:].mT @ columns[:, start:stop]
        product[start:, start:stop] = part
        product[start:stop, stop:] = part[stop - start :].mT
    return product


def _solved(moments: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """`target` (moments + d)⁻¹, for symmetric moments, which are used up."""
    import torch

    moments.diagonal().add_(_DAMPING * float(moments.norm()))
    return torch.cholesky_solve(target.mT, torch.linalg.cholesky(moments)).mT
