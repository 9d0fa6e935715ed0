"""Interpolation on the sphere of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mergecast.errors import UndefinedError
from mergecast.merging.combine import total_weight
from mergecast.merging.gram import Origin, combined, gram
from mergecast.merging.method import TensorBlock, merging_method

if TYPE_CHECKING:
    import torch

#: Halfway between two members.
_MIDDLE = 0.5
#: Below this angle (radians) an arc is its chord to the precision of float32.
_FLAT = 1e-3
#: Below this cosine two directions are opposite.
_OPPOSITE = -1 + 1e-9
_ITERATIONS = 64
#: A mean of unit vectors of this length has no direction.
_STILL = 1e-8
#: 1 - cos² of two vectors on one line.
_COLLINEAR = 1e-16


@merging_method(
    "slerp",
    reference="Shoemake 1985, 'Animating rotation with quaternion curves'; for more than two "
    "members Buss and Fillmore 2001, 'Spherical averages'",
)
def slerp(block: TensorBlock, *, t: Annotated[float, Field(ge=0, le=1)] = _MIDDLE) -> torch.Tensor:
    """Interpolate the members' weights along the great circle, per tensor.

    Directions are averaged on the sphere, lengths along the line. Three or more members are
    merged with equal weights at their spherical (Karcher) mean, which for two is ``t = 0.5``.
    Zero or opposite weights are interpolated along the straight line.

    Parameters
    ----------
    t : float
        Position between the first (0) and the second (1) of two members, sorted by label; of more
        members 0.5 alone.

    Raises
    ------
    UndefinedError
        Another position between three or more members.
    """
    import torch

    if len(block.members) > 2 and t != _MIDDLE:
        raise UndefinedError(
            f"slerp between {len(block.members)} models",
            f"has no position t = {t:g}, which lies between two",
            f"leave t at {_MIDDLE:g}, or weigh the members by karcher",
        )
    order = sorted(range(len(block.members)), key=lambda i: block.members[i])
    points = (block.base + block.deltas[order]).reshape(len(order), -1).double()
    if len(order) == 1:
        return block.deltas[0]
    weights = torch.full((len(order),), 1 / len(order), dtype=torch.float64, device=points.device)
    if len(order) == 2:
        weights[0], weights[1] = 1 - t, t
    lengths = points.norm(dim=1)
    units = points / lengths.clamp(min=torch.finfo(points.dtype).tiny)[:, None]
    if bool((lengths == 0).any()) or bool((units @ units.T < _OPPOSITE).any()):
        # No direction, or opposite ones, which no single great circle joins: along the chord.
        merged = weights @ points
    else:
        merged = karcher_mean(units, weights) * (weights @ lengths)
    return (merged.reshape(block.base.shape) - block.base).to(block.deltas.dtype)


@merging_method(
    "karcher",
    reference="Buss and Fillmore 2001, 'Spherical averages'; mergekit's karcher, arXiv 2603.04972",
    weights="positive",
)
def karcher(
    block: TensorBlock,
    *,
    origin: Origin = "zero",
    max_iter: Annotated[int, Field(ge=1)] = 64,
    tol: Annotated[float, Field(gt=0, lt=1)] = 1e-8,
) -> torch.Tensor:
    """The members' spherical (Karcher) mean, per tensor; lengths are averaged along the line.

    Vectors without a direction count in the length alone. Where two are opposite there is no
    such mean, and the straight one is taken.

    Parameters
    ----------
    origin : {"zero", "base"}
        The sphere's centre: of weights, or of task vectors.
    max_iter : int
        The most steps towards it.
    tol : float
        A step of fewer radians is the last.
    """
    import torch

    lengths, cosines = _directions(block, origin)
    weights = _shares(block, lengths)
    pointing = weights * (lengths > 0)
    if float(cosines.min()) < _OPPOSITE or not bool(pointing.any()):
        return combined(block, weights, origin)
    factors = pointing / pointing.sum()
    mean = factors / (factors @ cosines @ factors).clamp(min=1e-300).sqrt()
    for _ in range(max_iter):
        dots = (cosines @ mean).clamp(-1, 1)
        angles = torch.acos(dots)
        step = factors / torch.sinc(angles / torch.pi)
        step = step - (step @ dots) * mean
        size = (step @ cosines @ step).clamp(min=0).sqrt()
        if float(size) < tol:
            break
        mean = mean * torch.cos(size) + step / size * torch.sin(size)
        mean = mean / (mean @ cosines @ mean).sqrt()
    return combined(block, mean * (weights @ lengths) / _or_one(lengths), origin)


@merging_method(
    "multislerp",
    reference="Goddard 2025, 'Multi-SLERP'; mergekit's multislerp",
    weights="positive",
)
def multislerp(block: TensorBlock, *, origin: Origin = "base") -> torch.Tensor:
    """The direction of the members' mean unit vector, with their mean length.

    The published step in the tangent space at that mean is always zero, and left out. Where the
    unit vectors cancel out there is no direction, and the straight mean is taken.

    Parameters
    ----------
    origin : {"zero", "base"}
        The sphere's centre: of weights, or of task vectors.
    """
    lengths, cosines = _directions(block, origin)
    weights = _shares(block, lengths)
    size = (weights @ cosines @ weights).clamp(min=0).sqrt()
    if float(size) < _STILL:
        return combined(block, weights, origin)
    return combined(block, weights / _or_one(lengths) * ((weights @ lengths) / size), origin)


@merging_method(
    "nuslerp", reference="mergekit's nuslerp; Shoemake 1985", max_members=2, weights="positive"
)
def nuslerp(
    block: TensorBlock,
    *,
    origin: Origin = "base",
    per: Literal["tensor", "row", "column"] = "tensor",
    chord_above: Annotated[float, Field(gt=0, le=1)] = 1.0,
) -> torch.Tensor:
    """Interpolate two members along the arc, by the ratio of their weights.

    Their lengths are not evened out first, as ``slerp`` does: it is Shoemake's sum of the vectors
    as they are.

    Parameters
    ----------
    origin : {"zero", "base"}
        What vectors are measured from: weights, or task vectors.
    per : {"tensor", "row", "column"}
        What is one vector: the tensor, or each along the last or the first axis.
    chord_above : float
        A cosine of this size or more is interpolated along the straight line.
    """
    import torch

    if len(block.members) == 1:
        return block.deltas[0]
    share = block.weights.double() / total_weight(block)
    if per == "tensor" or not block.base.dim():
        _, cosines = _directions(block, origin)
        first, second = _arc(cosines[0, 1], share, chord_above)
        return combined(block, torch.stack([first, second]), origin)
    axis = 0 if per == "column" else -1
    points = block.deltas if origin == "base" else block.base + block.deltas
    lengths = torch.linalg.vector_norm(points, dim=axis + (per == "column"), keepdim=True)
    lengths = lengths.double()
    product = (points[0] * points[1]).sum(axis, keepdim=True, dtype=torch.float64)
    first, second = _arc(product / _or_one(lengths[0] * lengths[1]), share, chord_above)
    merged = points[0] * first.to(points.dtype) + points[1] * second.to(points.dtype)
    return merged if origin == "base" else merged - block.base


def _arc(
    cosine: torch.Tensor, share: torch.Tensor, chord_above: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Shoemake's factors of the two ends of an arc; those of the chord where it has none."""
    import torch

    cosine = cosine.clamp(-1, 1)
    straight = (cosine.abs() >= chord_above) | (1 - cosine.square() <= _COLLINEAR)
    angle = torch.acos(torch.where(straight, torch.zeros_like(cosine), cosine))
    first, second = (
        torch.where(straight, one, torch.sin(one * angle) / torch.sin(angle)) for one in share
    )
    return first, second


def _directions(block: TensorBlock, origin: Origin) -> tuple[torch.Tensor, torch.Tensor]:
    """Lengths (N,) of the members' vectors and the cosines (N, N) between them, float64."""
    squares = gram(block, origin)
    lengths = squares.diagonal().clamp(min=0).sqrt()
    divisor = _or_one(lengths)
    return lengths, squares / (divisor[:, None] * divisor)


def _shares(block: TensorBlock, lengths: torch.Tensor) -> torch.Tensor:
    return block.weights.to(lengths.dtype) / total_weight(block)


def _or_one(lengths: torch.Tensor) -> torch.Tensor:
    """Lengths to divide by, with 1 for those that are zero."""
    return lengths + (lengths == 0).to(lengths.dtype)


def karcher_mean(units: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The weighted intrinsic mean of unit vectors ``(N, d)`` by fixed-point iteration.

    For two vectors it is the point of the great circle at the weight of the second. Opposite
    vectors have no unique mean: callers see to them.
    """
    import torch

    mean = units[0]
    for _ in range(_ITERATIONS):
        cosines = (units @ mean).clamp(-1, 1)
        tangents = units - cosines[:, None] * mean
        sines = tangents.norm(dim=1)
        angles = torch.atan2(sines, cosines)
        factors = torch.where(angles < _FLAT, torch.ones_like(angles), angles / sines)
        factors = torch.where(sines == 0, torch.zeros_like(factors), factors)
        step = (weights * factors) @ tangents
        size = step.norm()
        if size < 1e-12:
            break
        mean = mean * torch.cos(size) + step / size * torch.sin(size)
        mean = mean / mean.norm()
    return mean
