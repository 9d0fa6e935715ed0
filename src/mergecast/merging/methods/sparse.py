"""Methods that drop entries of task vectors before combining them: TIES and DARE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mergecast.merging.combine import elected_mean, weighted_sum
from mergecast.merging.method import TensorBlock, merging_method
from mergecast.merging.parameters import Each
from mergecast.merging.sparsity import Rescale, drop, rescaled, trim

if TYPE_CHECKING:
    import torch

_TIES = "Yadav et al. 2023, 'TIES-Merging', arXiv 2306.01708"
_DARE = "Yu et al. 2024, 'Language models are super Mario', arXiv 2311.03099"


@merging_method("ties", reference=_TIES, weights="positive")
def ties(
    block: TensorBlock,
    *,
    density: Each[Annotated[float, Field(gt=0, le=1)]] = 0.2,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 0.3,
    sign: Literal["mass", "count"] = "mass",
    vote: Literal["weighted", "equal"] = "weighted",
    normalize: bool = True,
    rescale: Rescale = False,
) -> torch.Tensor:
    """Trim each task vector, elect a sign per entry, average what agrees with it.

    Trimming is per tensor, as in the code the published figures come from.

    Parameters
    ----------
    density : float
        Share of entries of each task vector kept, by magnitude.
    scaling : float
        Factor on the merged task vector.
    sign : {"mass", "count"}
        ``mass`` elects the sign of the sum of the kept entries, ``count`` the sign that most of
        them have; an entry without a majority keeps the tensor's overall elected sign.
    vote : {"weighted", "equal"}
        Whether the members' weights count in the election too, or only in the mean.
    normalize : bool
        Divide by the weights of the members that agree; otherwise they are added up.
    rescale : bool or "l1"
        Divide what is left of a task vector by its density; ``l1`` scales it to the L1 norm that
        it had.
    """
    shares = block.each(density)
    kept = rescaled(trim(block.deltas, shares), block.deltas, shares, rescale)
    return elected_mean(block, kept, sign=sign, vote=vote, normalize=normalize) * scaling


@merging_method("dare", reference=_DARE, weights="positive", random=True)
def dare(
    block: TensorBlock,
    *,
    drop_rate: Each[Annotated[float, Field(ge=0, lt=1)]] = 0.9,
    mask: Literal["random", "magnitude"] = "random",
    rescale: Rescale = True,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 1.0,
) -> torch.Tensor:
    """Drop most entries of each task vector, rescale the rest, average.

    Parameters
    ----------
    drop_rate : float
        Share of entries set to zero.
    mask : {"random", "magnitude"}
        ``random`` entries (a stream per seed, model and parameter), or those of the smallest
        ``magnitude``.
    rescale : bool or "l1"
        Divide what is left by ``1 - drop_rate``; ``l1``, as mergekit, scales it to the L1 norm
        that the task vector had.
    scaling : float
        Factor on the mean.
    """
    kept = drop(block, block.each(drop_rate), mask, rescale)
    return weighted_sum(block, kept, normalize=True) * scaling


@merging_method(
    "dare_linear", reference=f"{_DARE}; mergekit's dare_linear", weights="signed", random=True
)
def dare_linear(
    block: TensorBlock,
    *,
    density: Each[Annotated[float, Field(gt=0, le=1)]] = 0.1,
    rescale: Rescale = "l1",
    normalize: bool = False,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 1.0,
) -> torch.Tensor:
    """Drop most entries of each task vector at random, rescale the rest, add up by weight.

    Parameters
    ----------
    density : float
        Share of entries kept.
    rescale : bool or "l1"
        As in ``dare``.
    normalize : bool
        Divide the sum by the sum of the weights.
    scaling : float
        Factor on the sum.
    """
    kept = drop(block, [1 - share for share in block.each(density)], rescale=rescale)
    return weighted_sum(block, kept, normalize=normalize) * scaling


@merging_method("dare_ties", reference=f"{_DARE}; {_TIES}", weights="positive", random=True)
def dare_ties(
    block: TensorBlock,
    *,
    drop_rate: Each[Annotated[float, Field(ge=0, lt=1)]] = 0.9,
    mask: Literal["random", "magnitude"] = "random",
    rescale: Rescale = True,
    scaling: Annotated[float, Field(gt=-10, lt=10)] = 1.0,
    sign: Literal["mass", "count"] = "mass",
    vote: Literal["weighted", "equal"] = "weighted",
    normalize: bool = True,
) -> torch.Tensor:
    """DARE's dropping in place of TIES' trimming, then TIES' sign election and mean.

    Parameters
    ----------
    drop_rate, mask, rescale
        As in ``dare``.
    scaling : float
        Factor on the merged task vector.
    sign, vote, normalize
        As in ``ties``.
    """
    kept = drop(block, block.each(drop_rate), mask, rescale)
    return elected_mean(block, kept, sign=sign, vote=vote, normalize=normalize) * scaling
