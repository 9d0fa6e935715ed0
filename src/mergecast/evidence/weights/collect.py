"""Weight fingerprints: one pass over a family's blocks, reduced to what pairs need.

Per parameter the N × N Gram matrix of the deltas; per matrix every model's `Spectrum`, reduced
at once to N × N overlaps, so that memory does not grow with depth. Work is O(N) decompositions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import isfinite, sqrt
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from mergecast.errors import FamilyError, UndefinedError
from mergecast.evidence.kind import Step
from mergecast.evidence.session import Session
from mergecast.evidence.weights.conflict import SignConflict, energies
from mergecast.evidence.weights.fingerprints import MatrixOverlaps, WeightFingerprints
from mergecast.evidence.weights.spectra import Spectrum, rounding_floor, spectrum
from mergecast.family.blocks import BLOCKS, MEMORY_BUDGET, ParamBlock
from mergecast.family.family import Family
from mergecast.runtime.progress import Progress, Silent
from mergecast.runtime.stage import Stage
from mergecast.typing import Array

#: Singular directions compared at each end, and singular values compared (paper's defaults).
DIRECTIONS = 10
VALUES = 100


STAGE = Stage(
    "weights",
    1,
    uses=(BLOCKS,),
    modules=tuple(
        f"mergecast.evidence.weights.{name}"
        for name in ("collect", "conflict", "spectra", "tridiagonal")
    ),
)


def collect(session: Session) -> WeightFingerprints:
    """The fingerprints, with what interference reads of them if it is asked for."""
    asked = session.keys
    return fingerprint(
        session.family,
        conflict=asked is None or any(key.startswith("interference_") for key in asked),
        workers=session.workers,
        on_error=session.on_error,
        progress=session.progress,
    )


def steps(session: Session) -> Iterator[Step]:
    """One model's fingerprints; the others are made beside it, blocks of all read ahead."""
    family = session.family
    one = session.narrowed(family.names[:1])
    largest = 4 * max(family.base.info(name).size for name in family.shared)
    held = [2 * min((count + 1) * largest, MEMORY_BUDGET) for count in (1, family.size)]
    yield Step(
        lambda: collect(one),
        family.size / min(family.size, max(1, session.workers)),
        memory=held[1] - held[0],
    )


def fingerprint(
    family: Family,
    *,
    conflict: bool = True,
    workers: int = 2,
    on_error: Literal["raise", "refuse"] = "raise",
    progress: Progress | None = None,
) -> WeightFingerprints:
    """Fingerprint a family's weights in one pass over its blocks.

    Parameters
    ----------
    family : Family
        Base and models.
    conflict : bool
        Take what `interference_*` metrics of weights read, too.
    workers : int
        Threads; results do not depend on their number.
    on_error : str
        ``refuse`` lists models with non-finite values in `WeightFingerprints.refused`.
    progress : Progress or None
        Where parameters done are reported.

    Raises
    ------
    FamilyError
        A model holds NaN or infinity (``on_error="raise"``), or all do.
    """
    advance = (progress or Silent()).stage("weights", len(family.shared))
    grams: dict[str, Array] = {}
    matrices: list[MatrixOverlaps] = []
    squared_norm = 0.0
    signs = SignConflict.of(family.size) if conflict else None
    refused: dict[str, str] = {}
    # One BLAS thread per worker: the work is many small problems, not one large one.
    with threadpool_limits(1), ThreadPoolExecutor(workers, "fingerprint") as pool:
        for block in family.blocks():
            squared_norm += block.base_norm() ** 2
            if not isfinite(squared_norm):
                raise FamilyError(
                    family.base.path,
                    f"parameter {block.name!r} holds NaN or infinity",
                    "fetch the base again, or give another",
                )
            spectra = _submit_spectra(pool, block)
            gram = grams[block.name] = block.gram()
            for label in block.non_finite(gram):
                refused.setdefault(label, f"parameter {block.name!r} holds NaN or infinity")
            if refused and on_error == "raise":
                raise _non_finite_error(refused)
            if signs is not None:
                signs.add(block, pool)
            if len(block.shape) == 2:
                matrices.append(_overlaps(block, list(spectra), gram, conflict, pool))
            advance(1)
    if len(refused) == family.size:
        raise _non_finite_error(refused)
    return WeightFingerprints(
        family.names, grams, tuple(matrices), sqrt(squared_norm), signs, refused
    )


def _non_finite_error(refused: dict[str, str]) -> FamilyError:
    label, reason = next(iter(refused.items()))
    return FamilyError(f"model {label!r}", reason, "leave this model out, or fetch it again")


def _submit_spectra(pool: ThreadPoolExecutor, block: ParamBlock) -> Iterator[Spectrum | str]:
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
            return spectrum(delta, DIRECTIONS, floor)
        except UndefinedError as error:
            return error.problem

    pending: deque[Future[Spectrum | str]] = deque(
        pool.submit(one, i) for i in range(len(block.members))
    )

    def results() -> Iterator[Spectrum | str]:
        while pending:
            yield pending.popleft().result()

    return results()


def _overlaps(
    block: ParamBlock,
    spectra: list[Spectrum | str],
    gram: Array,
    conflict: bool,
    pool: ThreadPoolExecutor,
) -> MatrixOverlaps:
    rows: dict[str, list[Array | None]] = {"left": [], "right": [], "weak": []}
    undefined: dict[str, str] = {}
    profiles = np.full((len(spectra), VALUES), np.nan)
    for i, (label, one) in enumerate(zip(block.members, spectra, strict=True)):
        if isinstance(one, str):
            undefined[label] = one
            for sets in rows.values():
                sets.append(None)
            continue
        rows["left"].append(one.left)
        rows["right"].append(one.right)
        rows["weak"].append(one.weak)
        if one.weak_undefined:
            undefined[label] = one.weak_undefined
        head = one.values[:VALUES]
        profiles[i] = 0.0
        profiles[i, : len(head)] = head / one.values.sum()
    norms = np.linalg.norm(profiles, axis=1)
    profile = (profiles @ profiles.T) / np.outer(norms, norms)
    squares, counts = {}, {}
    for side in rows:
        squares[side], counts[side] = _squared_overlaps(rows[side])
    shares = energies(block, rows["left"], rows["right"], gram, pool) if conflict else {}
    return MatrixOverlaps(block.name, squares, counts, profile, shares, undefined)


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
