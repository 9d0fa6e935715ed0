"""A merging method: the median of the task vectors, entry by entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mergecast.merging import TensorBlock, merging_method

if TYPE_CHECKING:
    from torch import Tensor


@merging_method("example_median", reference="an example")
def median(block: TensorBlock, *, scaling: Annotated[float, Field(gt=0, le=2)] = 1.0) -> Tensor:
    """Take each entry's median over the members.

    Parameters
    ----------
    scaling : float
        Factor on the median.
    """
    import torch

    return torch.quantile(block.deltas, 0.5, dim=0) * scaling
