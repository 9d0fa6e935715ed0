"""Weighted sums of task vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mergecast.merging.method import TensorBlock, merging_method

if TYPE_CHECKING:
    import torch


@merging_method(
    "weight_avg", reference="Wortsman et al. 2022, 'Model soups', arXiv 2203.05482 (uniform soup)"
)
def weight_avg(block: TensorBlock) -> torch.Tensor:
    """The mean of the members' weights: base + mean task vector."""
    return block.deltas.mean(0)


@merging_method(
    "task_arithmetic",
    reference="Ilharco et al. 2023, 'Editing models with task arithmetic', arXiv 2212.04089",
)
def task_arithmetic(
    block: TensorBlock, *, scaling: Annotated[float, Field(gt=-10, lt=10)] = 0.3
) -> torch.Tensor:
    """The sum of the task vectors, scaled.

    Parameters
    ----------
    scaling : float
        Factor on the sum.
    """
    return block.deltas.sum(0) * scaling
