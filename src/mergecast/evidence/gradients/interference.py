"""Interference by gradients and curvature, directed i ← j, for all pairs in one pass over blocks.

Every number is an N × N array whose entry [i, j] is the effect on model i of model j. What is
needed of a model on its samples is measured once a model; the pairs are then sums over parameters
of products of small matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence.gradients.collect import PARAMETER, gradient_file
from mergecast.evidence.gradients.collect import STAGE as GRADIENTS
from mergecast.evidence.gradients.curvature import CURVATURE, Curvature, curvature
from mergecast.evidence.gradients.fisher import FISHER, fisher
from mergecast.evidence.inputs.collect import inner, matrices
from mergecast.evidence.inputs.moments import CURVATURE_DRAWS
from mergecast.evidence.kind import Step, one_of_each_shape
from mergecast.evidence.readings import PairSums, Readings
from mergecast.evidence.session import Session
from mergecast.family.blocks import ParamBlock
from mergecast.merging.decompositions import Decompositions, remembered
from mergecast.merging.method import TensorBlock
from mergecast.merging.stand_ins import ALONE, with_stand_ins
from mergecast.runtime.stage import Stage

STAGE = Stage(
    "gradient interference",
    1,
    uses=(GRADIENTS, CURVATURE, FISHER, ALONE),
    modules=("mergecast.evidence.gradients.interference",),
)
#: Largest deviation, relative to the largest entry, of a task vector that is only scaled.
_SCALED = 1e-6


@dataclass(frozen=True)
class Measured:
    """What was measured of one model; None where it is not defined."""

    curvature: Curvature | None
    gradient: Checkpoint | None

    @property
    def transposed(self) -> frozenset[str]:
        """Weights stored as (in, out)."""
        return frozenset() if self.curvature is None else self.curvature.transposed

    def factors(self, name: str) -> tuple[Tensor, Tensor] | None:
        """The factors of a layer's curvature, by its weight; None where there are none."""
        return None if self.curvature is None else self.curvature.factors(name)


def collect(session: Session) -> Readings:
    """Measure every model once, then run once over the parameters for all pairs."""
    family = session.family.subset(sorted(session.family.names))
    advance = session.progress.stage("interference", family.size + len(family.shared))
    sums = PairSums(family.names)
    measured = []
    for i in range(family.size):
        measured.append(_measure(session, sums, i))
        advance(1)
    for block in family.blocks():
        _add(session, sums, block, measured)
        advance(1)
    return sums.readings()


def steps(session: Session) -> Iterator[Step]:
    """One model's gradients and curvature, its merges alone, and its view of one of them."""
    n, members = session.family.size, tuple(sorted(session.family.names))
    measured: list[Measured] = []
    yield Step(
        lambda: measured.append(_measure(session, PairSums(members), 0)),
        n,
        forward=2,
        backward=1 + CURVATURE_DRAWS,
    )
    one, methods = session.narrowed(members[:1]), len(session.methods)
    merged = [replace(measured[0], curvature=None)]
    for name, count in one_of_each_shape(session.family).items():
        block, sums = one.family.block(name), PairSums(members[:1])
        yield Step(partial(_add, one, sums, block, merged), n * count)
        if factors := measured[0].factors(name):
            deltas = matrices(torch.from_numpy(block.deltas), name in measured[0].transposed)
            yield Step(partial(_seen, factors, deltas), n * n * methods * count)


def _measure(session: Session, sums: PairSums, i: int) -> Measured:
    """Curvature and gradients of model `i`; to the sums go Fisher's, and why there are none."""
    member = sums.members[i]
    curved: Curvature | None = None
    gradient: Checkpoint | None = None
    try:
        curved = curvature(session, member)
    except UndefinedError as reason:
        for method in session.methods:
            sums.missing[("displacement", method), member] = str(reason)
    try:
        whole, diagonal = fisher(session, session.family.subset(sums.members), member)
        gradient = gradient_file(session, member, session.merge_samples(member))
        sums.add(("fisher",), i, whole)
        sums.add(("fisher_diagonal",), i, diagonal)
    except UndefinedError as reason:
        about_methods = (("first_order", method) for method in session.methods)
        for name in (("fisher",), ("fisher_diagonal",), *about_methods):
            sums.missing[name, member] = str(reason)
    return Measured(curved, gradient)


def _add(session: Session, sums: PairSums, block: ParamBlock, measured: Sequence[Measured]) -> None:
    """First-order change and cost of the displacement, for every method's scaling."""
    gradients = {
        i: torch.from_numpy(one.gradient.floats(f"{PARAMETER}{block.name}"))
        for i, one in enumerate(measured)
        if one.gradient is not None and f"{PARAMETER}{block.name}" in one.gradient.infos
    }
    factors = {i: f for i, one in enumerate(measured) if (f := one.factors(block.name)) is not None}
    if not gradients and not factors:
        return
    deltas = torch.from_numpy(block.deltas)
    transposed = any(block.name in one.transposed for one in measured)
    views = {i: _seen(factors[i], matrices(deltas, transposed)) for i in factors}
    decompositions = Decompositions()  # which several methods take of the same task matrices
    for delta in block.deltas:
        decompositions.expect(delta)
    for method in session.methods:
        with remembered(decompositions):
            moved = _alone(session, sums, block, method)
        if moved is None:
            continue
        if gradients:
            rows = torch.stack(list(gradients.values()))
            sums.add(("first_order", method), list(gradients), inner(rows, moved))
        scale = _scale(moved, deltas)
        for i, own in views.items():
            seen = own * scale if scale is not None else None
            if seen is None:
                seen = _seen(factors[i], matrices(moved, transposed))
            # Where the merge puts model i: M(τᵢ) + M(τⱼ) − τᵢ.
            displaced = seen + (seen[i] - own[i])
            cost = torch.linalg.vector_norm(displaced, dim=(1, 2), dtype=torch.float64).square()
            sums.add(("displacement", method), i, cost)


def _seen(factors: tuple[Tensor, Tensor], changes: Tensor) -> Tensor:
    """F D Xᵀ of changes D (N, out, in) of a layer's weights: (N, k, l), one matrix at a time.

    An output layer may have rows of new tokens after those that change.
    """
    left, right = (factor.to(changes.dtype) for factor in factors)
    left = left[:, : changes.shape[1]]
    return torch.stack([left @ change @ right.mT for change in changes])


def _scale(moved: Tensor, deltas: Tensor) -> float | None:
    """The number that `moved` is times `deltas`, or None where it is no multiple of them.

    Linear methods only scale a task vector, and share what the unscaled one does.
    """
    flat, scaled = deltas.reshape(-1), moved.reshape(-1)
    norm = float(inner(flat[None], flat[None]))
    if norm == 0:
        return 1.0
    scale = float(inner(scaled[None], flat[None])) / norm
    off = (scaled - flat * scale).abs().max()
    return scale if float(off) <= _SCALED * float(flat.abs().max()) else None


def _alone(session: Session, sums: PairSums, block: ParamBlock, method: str) -> Tensor | None:
    """M(τⱼ, 0, …) of every model on a block, (N, *shape): its task vector as M scales it."""
    parts = []
    for i, member in enumerate(block.members):
        single = ParamBlock.from_arrays(
            block.name, np.zeros_like(block.base), block.delta(i)[None], [member]
        )
        company = with_stand_ins(single, session.merges.size, "base", 0)
        try:
            parts.append(_merged(session, method, block, company))
        except (UsageError, UndefinedError) as error:
            for name in ("first_order", "displacement"):
                sums.missing[(name, method), ""] = f"no merge by {method}: {error}"
            return None
    return torch.stack(parts)


def _merged(session: Session, name: str, block: ParamBlock, company: ParamBlock) -> Tensor:
    recipe = session.recipe(name)
    method = recipe.merging_method
    method.check_members(company.members)
    method.check_evidence(given=False)
    tensors = TensorBlock(
        block.name,
        torch.from_numpy(block.base),
        torch.from_numpy(company.deltas),
        company.members,
        recipe.seed,
    )
    return method.kernel(tensors, **recipe.params)
