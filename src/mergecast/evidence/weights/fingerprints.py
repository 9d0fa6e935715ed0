"""Weight fingerprints: one pass over a family's blocks, reduced to what pairs need.

Per parameter the N × N Gram matrix of the deltas; per matrix every model's `Spectrum`, reduced
at once to N × N overlaps, so that memory does not grow with depth. Work is O(N) decompositions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import isfinite, sqrt
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from mergecast.checkpoints.checkpoint import Array
from mergecast.errors import FamilyError, UndefinedError
from mergecast.evidence.weights.spectra import Spectrum, rounding_floor, spectrum
from mergecast.family.blocks import ParamBlock
from mergecast.family.family import Family

#: Singular directions compared at each end, and singular values compared (paper's defaults).
DIRECTIONS = 10
VALUES = 100
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class MatrixOverlaps:
    """One matrix parameter, all pairs of models.

    Attributes
    ----------
    name : the parameter.
    squares : ``left``, ``right`` and ``weak`` to shape (N, N): the squared Frobenius norm of the
        product of two models' orthonormal rows; NaN where undefined.
    counts : the same keys to shape (N, N): the number of directions compared.
    profile : shape (N, N): cosine of the two normalised lists of singular values.
    undefined : model label to reason, for zero matrices and undefined weak directions.
    """

    name: str
    squares: dict[str, Array]
    counts: dict[str, Array]
    profile: Array
    undefined: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WeightFingerprints:
    """What the weight metrics of all pairs are computed from.

    Attributes
    ----------
    members : labels of the N models.
    grams : parameter to the Gram matrix (N, N) of the deltas, float64, in parameter order.
    matrices : one entry per two-dimensional parameter, in parameter order.
    base_norm : norm of the base's shared parameters.
    refused : label to reason of models whose values are not finite.
    """

    members: tuple[str, ...]
    grams: dict[str, Array]
    matrices: tuple[MatrixOverlaps, ...]
    base_norm: float
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def gram(self) -> Array:
        """Gram matrix (N, N) of the whole task vectors."""
        total: Array = np.sum(list(self.grams.values()), axis=0)
        return total


def collect(
    family: Family,
    *,
    k: int = DIRECTIONS,
    values: int = VALUES,
    workers: int = 2,
    on_error: Literal["raise", "refuse"] = "raise",
    progress: Progress | None = None,
) -> WeightFingerprints:
    """Fingerprint a family's weights in one pass over its blocks.

    Parameters
    ----------
    k : singular directions compared at each end.
    values : singular values compared.
    workers : threads; results do not depend on their number.
    on_error : ``refuse`` lists models with non-finite values in `WeightFingerprints.refused`.
    progress : called with (parameters done, parameters).

    Raises
    ------
    FamilyError
        A model holds NaN or infinity (``on_error="raise"``), or all do.
    """
    grams: dict[str, Array] = {}
    matrices: list[MatrixOverlaps] = []
    squared_norm = 0.0
    refused: dict[str, str] = {}
    # One BLAS thread per worker: the work is many small problems, not one large one.
    with threadpool_limits(1), ThreadPoolExecutor(workers, "fingerprint") as pool:
        for done, block in enumerate(family.blocks(), start=1):
            squared_norm += block.base_norm() ** 2
            if not isfinite(squared_norm):
                raise FamilyError(
                    family.base.path,
                    f"parameter {block.name!r} holds NaN or infinity",
                    "fetch the base again, or give another",
                )
            spectra = _submit_spectra(pool, block, k)
            grams[block.name] = block.gram()
            for label in block.non_finite(grams[block.name]):
                refused.setdefault(label, f"parameter {block.name!r} holds NaN or infinity")
            if refused and on_error == "raise":
                raise _non_finite_error(refused)
            if len(block.shape) == 2:
                matrices.append(_overlaps(block, list(spectra), values))
            if progress:
                progress(done, len(family.shared))
    if len(refused) == family.size:
        raise _non_finite_error(refused)
    return WeightFingerprints(family.names, grams, tuple(matrices), sqrt(squared_norm), refused)


def _non_finite_error(refused: dict[str, str]) -> FamilyError:
    label, reason = next(iter(refused.items()))
    return FamilyError(f"model {label!r}", reason, "leave this model out, or fetch it again")


def _submit_spectra(
    pool: ThreadPoolExecutor, block: ParamBlock, k: int
) -> Iterator[Spectrum | str]:
    """Every model's spectrum, or why there is none; computed while the Gram matrix is."""
    if len(block.shape) != 2:
        return iter(())
    shape = (block.shape[0], block.shape[1])
    is_float32 = block.base.dtype == np.float32
    floor = rounding_floor(block.base_norm(), shape) if is_float32 else 0.0

    def one(i: int) -> Spectrum | str:
        delta = block.delta(i)
        if not np.isfinite(delta).all():
            return "non-finite"
        try:
            return spectrum(delta, k, floor)
        except UndefinedError as error:
            return error.problem

    pending: deque[Future[Spectrum | str]] = deque(
        pool.submit(one, i) for i in range(len(block.members))
    )

    def results() -> Iterator[Spectrum | str]:
        while pending:
            yield pending.popleft().result()

    return results()


def _overlaps(block: ParamBlock, spectra: list[Spectrum | str], values: int) -> MatrixOverlaps:
    n = len(spectra)
    rows: dict[str, list[Array | None]] = {"left": [], "right": [], "weak": []}
    undefined: dict[str, str] = {}
    profiles = np.full((n, values), np.nan)
    for i, (label, found) in enumerate(zip(block.members, spectra, strict=True)):
        if isinstance(found, str):
            undefined[label] = found
            for sets in rows.values():
                sets.append(None)
            continue
        rows["left"].append(found.left)
        rows["right"].append(found.right)
        rows["weak"].append(found.weak)
        if found.weak_undefined:
            undefined[label] = found.weak_undefined
        head = found.values[:values]
        profiles[i] = 0.0
        profiles[i, : len(head)] = head / found.values.sum()
    norms = np.linalg.norm(profiles, axis=1)
    profile = (profiles @ profiles.T) / np.outer(norms, norms)
    squares, counts = {}, {}
    for side in rows:
        squares[side], counts[side] = _squared_overlaps(rows[side])
    return MatrixOverlaps(block.name, squares, counts, profile, undefined)


def _squared_overlaps(sets: list[Array | None]) -> tuple[Array, Array]:
    """‖A_i B_jᵀ‖²_F over the first min(k_i, k_j) rows of every two sets of orthonormal rows."""
    n = len(sets)
    squares = np.full((n, n), np.nan)
    counts = np.zeros((n, n), dtype=np.int64)
    given = {i: rows for i, rows in enumerate(sets) if rows is not None}
    if not given:
        return squares, counts
    products = np.concatenate(list(given.values()))
    products = (products @ products.T) ** 2
    ends = np.cumsum([len(rows) for rows in given.values()])
    starts = {i: end - len(given[i]) for i, end in zip(given, ends, strict=True)}
    for i, a in starts.items():
        for j, b in starts.items():
            count = min(len(given[i]), len(given[j]))
            squares[i, j] = products[a : a + count, b : b + count].sum()
            counts[i, j] = count
    return squares, counts
