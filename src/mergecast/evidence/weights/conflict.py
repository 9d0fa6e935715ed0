"""How a partner's weights meet a model's: signs that contradict, energy in the same subspaces."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from mergecast.family.blocks import ParamBlock
from mergecast.typing import Array

#: Share of a parameter's entries kept before signs are compared, as TIES trims by default.
DENSITY = 0.2


@dataclass(frozen=True)
class SignConflict:
    """Sums over all parameters, each trimmed to its largest entries.

    Attributes
    ----------
    against : (N, N) array
        Σ |τᵢ| where model j has kept an entry of the other sign, float64.
    mass : (N,) array
        Σ |τᵢ| of what model i has kept.
    """

    against: Array
    mass: Array

    @classmethod
    def of(cls, count: int) -> SignConflict:
        """Of `count` models, nothing added yet."""
        return cls(np.zeros((count, count)), np.zeros(count))

    def add(self, block: ParamBlock, pool: ThreadPoolExecutor) -> None:
        """Add one parameter, a chunk of all models at a time."""
        thresholds = pool.map(lambda i: _threshold(block.delta(i)), range(len(block.members)))
        least = np.array(list(thresholds))[:, None]
        with np.errstate(invalid="ignore"):
            for _, deltas in block.chunks():
                values = deltas.astype(np.float64)
                kept = values * (np.abs(values) >= least)
                signs, sizes = np.sign(kept), np.abs(kept)
                # |x| where signs differ: half of |x| where both are kept, less x times the other's.
                against = sizes @ np.abs(signs).T - kept @ signs.T
                self.against[...] += np.maximum(against, 0) / 2
                self.mass[...] += sizes.sum(axis=1)


def _threshold(delta: Array) -> float:
    """The smallest magnitude kept: at least one entry is, and so is every one equal to it."""
    sizes = np.abs(delta).reshape(-1)
    dropped = sizes.size - max(1, int(sizes.size * DENSITY))
    return float(np.partition(sizes, dropped)[dropped])


def energies(
    block: ParamBlock,
    left: Sequence[Array | None],
    right: Sequence[Array | None],
    gram: Array,
    pool: ThreadPoolExecutor,
) -> dict[str, Array]:
    """Shares of τⱼ's energy in τᵢ's strongest subspaces of one matrix.

    Parameters
    ----------
    block : ParamBlock
        The matrix, (m, n).
    left, right : sequence of arrays
        Every model's strongest left (k, m) and right (k, n) singular vectors as rows; None where
        it has none.
    gram : (N, N) array
        Of the models' deltas.
    pool : ThreadPoolExecutor
        Where models are worked on side by side.

    Returns
    -------
    dict of str to (N, N) array
        ``left``: ‖Uᵢᵀδⱼ‖² / ‖δⱼ‖², ``right``: ‖δⱼVᵢ‖² / ‖δⱼ‖², at most 1; NaN where one is zero.
    """
    shares = {side: np.full(gram.shape, np.nan) for side in ("left", "right")}
    given = [i for i, rows in enumerate(left) if rows is not None]
    if not given:
        return shares
    sides = [[rows for rows in side if rows is not None] for side in (left, right)]
    us, vs = (np.concatenate(rows) for rows in sides)
    starts = np.cumsum([0, *(len(rows) for rows in sides[0][:-1])])

    def of_model(j: int) -> list[Array]:
        delta = block.delta(j).astype(np.float64)
        with np.errstate(invalid="ignore"):  # of this thread: a model may be not finite
            seen = (us @ delta, vs @ delta.T)
        squares = (np.square(part).sum(axis=1) for part in seen)
        return [np.add.reduceat(square, starts) for square in squares]

    with np.errstate(invalid="ignore", divide="ignore"):
        for j, energies_of_j in enumerate(pool.map(of_model, range(len(block.members)))):
            for side, energy in zip(shares, energies_of_j, strict=True):
                shares[side][given, j] = np.minimum(energy / gram[j, j], 1)
    return shares
