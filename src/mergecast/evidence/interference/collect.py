"""Interference: what a partner's task vector does to a model, directed i ← j, in one block pass.

Every number is an N × N array whose entry [i, j] is the effect on model i of model j. What is
needed of a model on its samples is measured once a model (`crosstalk`, `evidence`); the pairs are
then sums over parameters of products of small matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence.interference.crosstalk import (
    InputMoments,
    add_inputs,
    add_weights,
    inner,
    matrices,
    measure_inputs,
)
from mergecast.evidence.interference.measure import Evidence, measure
from mergecast.evidence.interference.pair_sums import Interference, PairSums
from mergecast.evidence.retention.collect import Advance, MergeBench
from mergecast.evidence.session import ProbedFamily
from mergecast.evidence.settings import MergeSettings
from mergecast.family.blocks import ParamBlock
from mergecast.merging.decompositions import Decompositions, remembered
from mergecast.merging.method import METHODS, MergingMethod, TensorBlock
from mergecast.merging.stand_ins import with_stand_ins

#: Largest deviation, relative to the largest entry, of a task vector that is only scaled.
_SCALED = 1e-6


def collect_interference(
    probed: ProbedFamily,
    *,
    methods: Sequence[str] | None = None,
    settings: MergeSettings | None = None,
    gradients: bool = True,
    crosstalk: bool = True,
    advance: Advance | None = None,
) -> Interference:
    """Measure every model once, then run once over the parameters for all pairs.

    Parameters
    ----------
    probed : the family and its tasks; its store keeps what was measured of each model.
    methods : methods whose scaling of a task vector the gradient forms follow; all by default.
    settings : samples, seeds and the methods' parameters.
    gradients : take the forms that need backward passes.
    crosstalk : take the forms that need unlabelled forward passes only.
    advance : called with 1 for each model measured and each parameter done.
    """
    settings = settings or MergeSettings()
    members = tuple(sorted(probed.family.names))
    names = list(METHODS.names() if methods is None else methods) if gradients else []
    bench = MergeBench(probed, settings)
    sums = PairSums(members)
    inputs: list[InputMoments | None] = []
    evidence: list[Evidence] = []
    for member in members:
        if crosstalk:
            inputs.append(measure_inputs(bench, member, sums))
        if gradients:
            evidence.append(measure(bench, member))
        if advance:
            advance(1)
    _add_fisher(sums, evidence, gradients)
    for block in probed.family.subset(members).blocks():
        if crosstalk:
            add_weights(sums, block)
            add_inputs(sums, block, inputs)
        if gradients:
            _add_methods(sums, block, evidence, names, settings)
        if advance:
            advance(1)
    return sums.result(tuple(names))


def _add_fisher(sums: PairSums, evidence: Sequence[Evidence], asked: bool) -> None:
    """What was reduced while the gradients were taken, and why there are none of a model."""
    forms = ("fisher", "fisher_diagonal", *(f"first_order/{name}" for name in METHODS.names()))
    for i, (member, found) in enumerate(zip(sums.members, evidence, strict=asked)):
        for name in forms if found.no_gradient else ():
            sums.missing[name, member] = found.no_gradient
        for name in METHODS.names() if found.no_curvature else ():
            sums.missing[f"displacement/{name}", member] = found.no_curvature
        sums.add("fisher", i, found.fisher)
        sums.add("fisher_diagonal", i, found.fisher_diagonal)
    for name in () if asked else forms:
        sums.missing[name, ""] = "gradients were not asked for"


def _add_methods(
    sums: PairSums,
    block: ParamBlock,
    evidence: Sequence[Evidence],
    methods: Sequence[str],
    settings: MergeSettings,
) -> None:
    """First-order change and cost of the displacement, for every method's scaling."""
    gradients = _gradients(block, evidence)
    factors = {i: f for i, e in enumerate(evidence) if (f := e.factors(block.name)) is not None}
    if not gradients and not factors:
        return
    deltas = torch.from_numpy(block.deltas)
    transposed = any(block.name in found.transposed for found in evidence)
    views = {i: _seen(factors[i], matrices(deltas, transposed)) for i in factors}
    decompositions = Decompositions()  # which several methods take of the same task matrices
    for delta in block.deltas:
        decompositions.expect(delta)
    for method in methods:
        with remembered(decompositions):
            moved = _alone(block, method, settings, sums.missing)
        if moved is None:
            continue
        if gradients:
            rows = torch.stack(list(gradients.values()))
            sums.add(f"first_order/{method}", list(gradients), inner(rows, moved))
        scale = _scale(moved, deltas)
        for i, own in views.items():
            seen = own * scale if scale is not None else None
            if seen is None:
                seen = _seen(factors[i], matrices(moved, transposed))
            # Where the merge puts model i: M(τᵢ) + M(τⱼ) − τᵢ.
            displaced = seen + (seen[i] - own[i])
            cost = torch.linalg.vector_norm(displaced, dim=(1, 2), dtype=torch.float64).square()
            sums.add(f"displacement/{method}", i, cost)


def _gradients(block: ParamBlock, evidence: Sequence[Evidence]) -> dict[int, Tensor]:
    """The models' mean gradients by a parameter, flat; those that have one."""
    return {
        i: torch.from_numpy(found.gradient.floats(block.name))
        for i, found in enumerate(evidence)
        if found.gradient is not None and block.name in found.gradient.infos
    }


def _seen(factors: tuple[Tensor, Tensor], changes: Tensor) -> Tensor:
    """F D Xᵀ of changes D (N, out, in) of a layer's weights: (N, k, l), one matrix at a time."""
    left, right = (factor.to(changes.dtype) for factor in factors)
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


def _alone(
    block: ParamBlock, method: str, settings: MergeSettings, missing: dict[tuple[str, str], str]
) -> Tensor | None:
    """M(τⱼ, 0, …) of every model on a block, (N, *shape): its task vector as M scales it."""
    found = METHODS.get(method)
    parts = []
    for i in range(len(block.members)):
        single = ParamBlock.from_arrays(
            block.name, np.zeros_like(block.base), block.delta(i)[None], [block.members[i]]
        )
        company = with_stand_ins(single, settings.size, "base", 0)
        try:
            parts.append(_kernel(found, block, company, settings))
        except (UsageError, UndefinedError) as error:
            for name in (f"first_order/{method}", f"displacement/{method}"):
                missing[name, ""] = f"no merge by {method}: {error}"
            return None
    return torch.stack(parts)


def _kernel(
    method: MergingMethod, block: ParamBlock, company: ParamBlock, settings: MergeSettings
) -> Tensor:
    method.check_members(company.members)
    tensors = TensorBlock(
        block.name,
        torch.from_numpy(block.base),
        torch.from_numpy(company.deltas),
        company.members,
        settings.merge_seed,
    )
    return method.kernel(tensors, **method.validate(settings.params.get(method.name)))
