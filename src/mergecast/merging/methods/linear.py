"""Weighted sums of task vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mergecast.merging.combine import weighted_sum
from mergecast.merging.method import TensorBlock, merging_method

if TYPE_CHECKING:
    import torch

_SOUP = "Wortsman et al. 2022, 'Model soups', arXiv 2203.05482"


@merging_method("weight_avg", reference=f"{_SOUP} (uniform soup)", weights="positive")
def weight_avg(block: TensorBlock) -> torch.Tensor:
    """The mean of the members' weights: base + mean task vector."""
    return weighted_sum(block, block.deltas, normalize=True)


@merging_method("linear", reference=f"{_SOUP}; mergekit's linear", weights="signed")
def linear(block: TensorBlock, *, normalize: bool = True) -> torch.Tensor:
    """The weighted sum of the members' weights, not of their task vectors.

    Parameters
    ----------
    normalize : bool
        Divide by the sum of the weights; otherwise the base counts for nothing either way, so
        that weights which do not add up to 1 scale the whole model.
    """
    if normalize:
        return weighted_sum(block, block.deltas, normalize=True)
    total = float(block.weights.double().sum())
    return weighted_sum(block, block.deltas) + block.base * (total - 1)


@merging_method(
    "task_arithmetic",
    reference="Ilharco et al. 2023, 'Editing models with task arithmetic', arXiv 2212.04089",
    weights="signed",
)
def task_arithmetic(
    block: TensorBlock,
    *,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 0.3,
    normalize: bool = False,
) -> torch.Tensor:
    """The sum of the task vectors, scaled.

    Parameters
    ----------
    scaling : float
        Factor on the sum.
    normalize : bool
        Divide the sum by the sum of the weights.
    """
    return weighted_sum(block, block.deltas, normalize=normalize) * scaling
