"""Weighted sums of task vectors."""

from typing import Annotated

import torch
from pydantic import Field

from mergecast.merging.method import TensorBlock, merging_method


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
    scaling : factor on the sum.
    """
    return block.deltas.sum(0) * scaling
