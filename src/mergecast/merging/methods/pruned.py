"""Methods that drop entries by the rank of their magnitude: Model Breadcrumbs and DELLA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mergecast.merging.combine import elected_mean, weighted_sum
from mergecast.merging.method import TensorBlock, merging_method
from mergecast.merging.parameters import Each
from mergecast.merging.sparsity import Rescale, magprune, rescaled, without_outliers

if TYPE_CHECKING:
    import torch

_BREADCRUMBS = "Davari and Belilovsky 2024, 'Model breadcrumbs', arXiv 2312.06795"
_DELLA = "Deep et al. 2024, 'DELLA-Merging', arXiv 2406.11617"


@merging_method("breadcrumbs", reference=_BREADCRUMBS, weights="signed")
def breadcrumbs(
    block: TensorBlock,
    *,
    density: Each[Annotated[float, Field(gt=0, le=1)]] = 0.15,
    gamma: Each[Annotated[float, Field(ge=0, lt=1)]] = 0.01,
    normalize: bool = False,
    rescale: Rescale = False,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 0.3,
) -> torch.Tensor:
    """Drop the largest and the smallest entries of each task vector, add up the rest.

    Parameters
    ----------
    density : float
        Share of entries of each task vector kept.
    gamma : float
        Share of entries dropped for being the largest.
    normalize : bool
        Divide the sum by the sum of the weights.
    rescale : bool or "l1"
        As in ``ties``.
    scaling : float
        Factor on the sum.
    """
    shares = block.each(density)
    kept = without_outliers(block.deltas, shares, block.each(gamma))
    kept = rescaled(kept, block.deltas, shares, rescale)
    return weighted_sum(block, kept, normalize=normalize) * scaling


@merging_method(
    "breadcrumbs_ties",
    reference=f"{_BREADCRUMBS}; Yadav et al. 2023, arXiv 2306.01708; mergekit's breadcrumbs_ties",
    weights="positive",
)
def breadcrumbs_ties(
    block: TensorBlock,
    *,
    density: Each[Annotated[float, Field(gt=0, le=1)]] = 0.15,
    gamma: Each[Annotated[float, Field(ge=0, lt=1)]] = 0.01,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 0.3,
    sign: Literal["mass", "count"] = "mass",
    vote: Literal["weighted", "equal"] = "weighted",
    normalize: bool = True,
    rescale: Rescale = False,
) -> torch.Tensor:
    """The mask of ``breadcrumbs`` in place of TIES' trimming, then TIES' election and mean.

    Parameters
    ----------
    density, gamma
        As in ``breadcrumbs``.
    scaling : float
        Factor on the merged task vector.
    sign, vote, normalize, rescale
        As in ``ties``.
    """
    shares = block.each(density)
    kept = without_outliers(block.deltas, shares, block.each(gamma))
    kept = rescaled(kept, block.deltas, shares, rescale)
    return elected_mean(block, kept, sign=sign, vote=vote, normalize=normalize) * scaling


@merging_method("della", reference=_DELLA, weights="positive", random=True)
def della(
    block: TensorBlock,
    *,
    density: Each[Annotated[float, Field(gt=0, le=1)]] = 0.3,
    epsilon: Each[Annotated[float, Field(ge=0, lt=0.5)]] = 0.1,
    rescale: Rescale = True,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 1.0,
    sign: Literal["mass", "count"] = "mass",
    vote: Literal["weighted", "equal"] = "weighted",
    normalize: bool = True,
) -> torch.Tensor:
    """Drop entries at random, small ones of a row more probably, then elect a sign and average.

    Parameters
    ----------
    density : float
        Share of entries of each task vector kept, on average.
    epsilon : float
        The smallest entry of a row is kept with probability ``density - epsilon``, the largest
        with ``density + epsilon``; the paper's ε is twice that.
    rescale : bool or "l1"
        Divide what is left by its own probability; ``l1``, as mergekit, scales each task vector
        to the L1 norm that it had.
    scaling : float
        Factor on the merged task vector.
    sign, vote, normalize
        As in ``ties``.
    """
    kept = magprune(block, block.each(density), block.each(epsilon), rescale)
    return elected_mean(block, kept, sign=sign, vote=vote, normalize=normalize) * scaling


@merging_method(
    "della_linear", reference=f"{_DELLA}; mergekit's della_linear", weights="signed", random=True
)
def della_linear(
    block: TensorBlock,
    *,
    density: Each[Annotated[float, Field(gt=0, le=1)]] = 0.3,
    epsilon: Each[Annotated[float, Field(ge=0, lt=0.5)]] = 0.1,
    rescale: Rescale = True,
    normalize: bool = False,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 0.3,
) -> torch.Tensor:
    """The dropping of ``della``, then the sum by weight.

    Parameters
    ----------
    density, epsilon, rescale
        As in ``della``.
    normalize : bool
        Divide the sum by the sum of the weights.
    scaling : float
        Factor on the sum.
    """
    kept = magprune(block, block.each(density), block.each(epsilon), rescale)
    return weighted_sum(block, kept, normalize=normalize) * scaling
