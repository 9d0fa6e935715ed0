"""Interpolation on the sphere of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mergecast.merging.method import TensorBlock, merging_method

if TYPE_CHECKING:
    import torch

#: Below this angle (radians) an arc is its chord to the precision of float32.
_FLAT = 1e-3
#: Below this cosine two directions are opposite.
_OPPOSITE = -1 + 1e-9
_ITERATIONS = 64


@merging_method(
    "slerp",
    reference="Shoemake 1985, 'Animating rotation with quaternion curves'; for more than two "
    "members Buss and Fillmore 2001, 'Spherical averages'",
)
def slerp(block: TensorBlock, *, t: Annotated[float, Field(ge=0, le=1)] = 0.5) -> torch.Tensor:
    """Interpolate the members' weights along the great circle, per tensor.

    Directions are averaged on the sphere, lengths along the line. Three or more members are
    merged with equal weights at their spherical (Karcher) mean, which for two is ``t = 0.5``.
    Zero or opposite weights are interpolated along the straight line.

    Parameters
    ----------
    t : float
        Position between the first (0) and the second (1) of two members, sorted by label.
    """
    import torch

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
