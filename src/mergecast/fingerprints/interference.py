"""Interference: what a partner's task vector does to a model, directed i ← j, in one block pass.

Every number is an N × N array whose entry [i, j] is the effect on model i of model j. What is
needed of a model on its samples is measured once a model (`evidence`); the pairs are then sums
over parameters of products of small matrices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from mergecast.checkpoints.checkpoint import Array
from mergecast.errors import MergecastError, UndefinedError, UsageError
from mergecast.family.blocks import ParamBlock
from mergecast.fingerprints.evidence import Evidence, measure
from mergecast.fingerprints.merge_settings import MergeSettings
from mergecast.fingerprints.probing import ProbedFamily
from mergecast.fingerprints.retention import Advance, MergeBench
from mergecast.fingerprints.spectra import spectrum
from mergecast.merging.alone import with_stand_ins
from mergecast.merging.method import METHODS, MergingMethod, TensorBlock
from mergecast.merging.sparse import trim

#: Singular directions of a task matrix whose span counts as its subspace.
DIRECTIONS = 10
#: Share of entries kept before signs are compared, as TIES trims by default.
DENSITY = 0.2


@dataclass(frozen=True)
class Interference:
    """Sums over parameters, from which the metrics of all pairs are read.

    Attributes
    ----------
    members : labels of the N models, sorted.
    sums : name to (N, N) array, float64.
    energies : ``left`` and ``right`` to (matrices, N, N): share of τⱼ's energy in τᵢ's subspace.
    missing : (name of a sum, member) to the reason why its row has no value.
    methods : merging methods whose scaling the gradient forms follow.
    """

    members: tuple[str, ...]
    sums: Mapping[str, Array]
    energies: Mapping[str, Array]
    missing: Mapping[tuple[str, str], str]
    methods: tuple[str, ...] = ()

    def entry(self, name: str, i: str, j: str) -> float:
        """One entry of a sum; raises UndefinedError with the reason where it has none."""
        reason = self.missing.get((name, i)) or self.missing.get((name, ""))
        if reason:
            raise UndefinedError(f"model {i!r}", reason)
        if name not in self.sums:
            raise UndefinedError(f"interference {name!r}", "was not collected")
        return float(self.sums[name][self.members.index(i), self.members.index(j)])


def collect_interference(
    probed: ProbedFamily,
    *,
    methods: Sequence[str] | None = None,
    settings: MergeSettings | None = None,
    gradients: bool = True,
    advance: Advance | None = None,
) -> Interference:
    """Measure every model once, then run once over the parameters for all pairs.

    Parameters
    ----------
    probed : the family and its tasks.
    methods : methods whose scaling of a task vector the gradient forms follow; all by default.
    settings : samples, seeds and the methods' parameters.
    gradients : take backward passes too; False needs unlabelled forward passes only.
    advance : called with 1 for each model measured and each parameter done.
    """
    settings = settings or MergeSettings()
    members = tuple(sorted(probed.family.names))
    names = list(METHODS.names() if methods is None else methods) if gradients else []
    bench = MergeBench(probed, settings)
    with TemporaryDirectory(prefix="mergecast-") as folder:
        evidence = []
        for member in members:
            evidence.append(measure(bench, member, Path(folder), gradients=gradients))
            if advance:
                advance(1)
        sums = _Sums(members, evidence)
        for block in probed.family.subset(members).blocks():
            sums.add_weights(block)
            alone = {name: _alone(block, name, settings, sums.missing) for name in names}
            sums.add_moments(block, {k: v for k, v in alone.items() if v is not None})
            if advance:
                advance(1)
    return sums.result(tuple(names))


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


class _Sums:
    """The accumulators of one pass over the blocks."""

    def __init__(self, members: tuple[str, ...], evidence: list[Evidence]) -> None:
        self.members = members
        self.evidence = evidence
        self.missing: dict[tuple[str, str], str] = {}
        self.sums: dict[str, Array] = {}
        self.energies: dict[str, list[Array]] = {"left": [], "right": []}
        for member, found in zip(members, evidence, strict=False):
            if found.no_gradient:
                for name in ("fisher", "fisher_diagonal"):
                    self.missing[name, member] = found.no_gradient
                for method in METHODS.names():
                    self.missing[f"first_order/{method}", member] = found.no_gradient
        if any(found.products is not None for found in evidence):
            n = len(members)
            blank = torch.full((1, n), torch.nan, dtype=torch.float64)
            rows = [(blank if e.products is None else e.products) for e in evidence]
            self.sums["fisher"] = torch.stack([r.square().mean(0) for r in rows]).numpy()

    def add(self, name: str, i: int, values: Tensor | Array | float) -> None:
        """Add to row i of a sum; `values` is (N,)."""
        total = self.sums.setdefault(name, np.zeros((len(self.members), len(self.members))))
        total[i] += np.asarray(values, dtype=np.float64)

    def add_weights(self, block: ParamBlock) -> None:
        """Norms, conflicting signs and, on matrices, energy inside each other's subspaces."""
        n = len(self.members)
        deltas = torch.from_numpy(block.deltas)
        kept = trim(deltas, DENSITY).reshape(n, -1).double()
        norms = deltas.reshape(n, -1).double().square().sum(1)
        for i in range(n):
            against = (kept[i].sign() * kept.sign()) < 0
            self.add("conflict", i, (against * kept[i].abs()).sum(1))
            self.add("trimmed", i, kept[i].abs().sum())
        if len(block.shape) == 2:
            for side, shares in _subspace_energy(deltas, norms).items():
                self.energies[side].append(shares)

    def add_moments(self, block: ParamBlock, alone: Mapping[str, Tensor]) -> None:
        """What needs a model's samples: gradients and the moments of the layer's inputs."""
        n = len(self.members)
        deltas = torch.from_numpy(block.deltas).double()
        flat = deltas.reshape(n, -1)
        inputs = [found.tensor("inputs", block.name) for found in self.evidence]
        for i, found in enumerate(self.evidence):
            gradient = found.tensor("gradient", block.name)
            if gradient is not None:
                for method, moved in alone.items():
                    products = moved.reshape(n, -1).double() @ gradient.reshape(-1)
                    self.add(f"first_order/{method}", i, products)
            fisher = found.tensor("fisher", block.name)
            if fisher is not None:
                self.add("fisher_diagonal", i, flat.square() @ fisher.reshape(-1))
            moments = inputs[i]
            if moments is None:
                continue
            transposed = block.name in found.transposed
            matrices = _matrices(deltas, transposed)
            weighted = matrices @ moments
            self.add("moved", i, (weighted * matrices).sum((1, 2)))
            self.add("along", i, (weighted * matrices[i]).sum((1, 2)))
            self.add("matrix_norm2", i, matrices.square().sum((1, 2)))
            self.add("output", i, found.output_energy[block.name])
            self._add_similarity(i, moments, inputs)
            curvature = found.tensor("curvature", block.name)
            if curvature is not None:
                for method, moved in alone.items():
                    shifted = _matrices(moved.double(), transposed)
                    displaced = shifted + shifted[i] - matrices[i]
                    cost = (curvature @ displaced @ moments) * displaced
                    self.add(f"displacement/{method}", i, cost.sum((1, 2)))

    def _add_similarity(self, i: int, own: Tensor, inputs: list[Tensor | None]) -> None:
        values = [
            float((own * other).sum() / (own.norm() * other.norm())) if other is not None else 0.0
            for other in inputs
        ]
        self.add("input_similarity", i, np.array(values))
        self.add("layers", i, 1.0)

    def result(self, methods: tuple[str, ...]) -> Interference:
        """The finished sums; raises MergecastError where one is not finite without a reason."""
        for name, total in self.sums.items():
            for i, member in enumerate(self.members):
                if not np.isfinite(total[i]).all() and (name, member) not in self.missing:
                    raise MergecastError(
                        f"model {member!r}",
                        f"its interference {name!r} is not finite",
                        "leave this model out, or fetch it again",
                    )
        energies = {side: np.array(parts) for side, parts in self.energies.items()}
        return Interference(self.members, self.sums, energies, self.missing, methods)


def _matrices(stack: Tensor, transposed: bool) -> Tensor:
    """(N, out, in) of a stack of weights; a kernel's positions count as inputs."""
    flat = stack.reshape(len(stack), stack.shape[1], -1)
    return flat.mT if transposed else flat


def _subspace_energy(deltas: Tensor, norms: Tensor) -> dict[str, Array]:
    """(N, N): ‖Uᵢᵀδⱼ‖² and ‖δⱼVᵢ‖² over ‖δⱼ‖², top directions of δᵢ; NaN where one is zero."""
    n = len(deltas)
    shares = {side: np.full((n, n), np.nan) for side in ("left", "right")}
    doubles = deltas.double()
    for i in range(n):
        try:
            found = spectrum(deltas[i].numpy(), DIRECTIONS)
        except UndefinedError:
            continue
        left, right = (torch.from_numpy(v.copy()) for v in (found.left, found.right))
        shares["left"][i] = ((left @ doubles).square().sum((1, 2)) / norms).numpy()
        shares["right"][i] = ((doubles @ right.mT).square().sum((1, 2)) / norms).numpy()
    return shares
