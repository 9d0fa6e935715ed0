"""What partners' task vectors do to a model's layers, from unlabelled forward passes alone.

A layer's inputs on a model's samples have a second moment C; an update δ moves the layer's
outputs by tr(δ C δᵀ) in the mean. That is ⟨δᵀδ, C⟩, so that both sides are made once a model and
a pair costs one inner product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mergecast.checkpoints.checkpoint import Array, Checkpoint
from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import UndefinedError
from mergecast.evidence.interference.curvature import layer_moments
from mergecast.evidence.interference.pair_sums import PairSums
from mergecast.evidence.retention.collect import MergeBench
from mergecast.evidence.weights.spectra import spectrum
from mergecast.family.blocks import ParamBlock
from mergecast.merging.methods.sparse import trim

#: Singular directions of a task matrix whose span counts as its subspace.
DIRECTIONS = 10
#: Share of entries kept before signs are compared, as TIES trims by default.
DENSITY = 0.2
#: Rows of a second moment held of all models at once.
_SLAB = 256
_CHUNK = 1 << 17
#: Sums that need a model's inputs.
_FORMS = ("moved", "along", "matrix_norm2", "output", "input_similarity", "layers")


@dataclass(frozen=True)
class InputMoments:
    """Second moments of one model's layer inputs on its own samples.

    Attributes
    ----------
    file : ``<weight>/<number>``: rows of C from the diagonal on, `_SLAB` rows each.
    output_energy : weight name to mean squared norm of its layer's output.
    transposed : weights stored as (in, out).
    """

    file: Checkpoint
    output_energy: Mapping[str, float]
    transposed: frozenset[str]

    def slab(self, name: str, number: int) -> Tensor:
        """(rows, in − first row), float32 or float64."""
        return to_tensor(self.file.array(f"{name}/{number}"))


def measure_inputs(bench: MergeBench, member: str, sums: PairSums) -> InputMoments | None:
    """One forward pass of a model over its own samples; the store's, where it is done.

    None where an output is not finite: `sums` then gets the reason.
    """
    try:
        return _measured(bench, member)
    except UndefinedError as reason:
        for name in _FORMS:
            sums.missing[name, member] = str(reason)
        return None


def _measured(bench: MergeBench, member: str) -> InputMoments:
    store, shared = bench.probed.store, bench.family.shared
    spec = bench.spec("input moments", member, shared=list(shared))
    path = f"inputs/{store.key(spec)}.safetensors"
    found = store.get(spec)
    if found is None:
        layers = layer_moments(
            bench.probe(member), bench.probed.state(member), bench.samples(member), shared, draws=0
        )
        tensors = {}
        for name, moments in layers.items():
            matrix, rows = moments.input_rows.matrix(), moments.input_rows.rows
            for number, start in enumerate(range(0, len(matrix), _SLAB)):
                part = matrix[start : start + _SLAB, start:] / rows
                tensors[f"{name}/{number}"] = part.cpu().contiguous()
        found = {
            "output": {name: moments.output_energy for name, moments in layers.items()},
            "transposed": [name for name, moments in layers.items() if moments.transposed],
        }
        store.put_file(spec, path, lambda part: write_safetensors(part, tensors), found)
    return InputMoments(
        Checkpoint.open(store.folder / path), found["output"], frozenset(found["transposed"])
    )


def add_weights(sums: PairSums, block: ParamBlock) -> None:
    """Conflicting signs and, of matrices, energy inside each other's subspaces."""
    n = len(block.members)
    deltas = torch.from_numpy(block.deltas)
    kept = trim(deltas, DENSITY).reshape(n, -1)
    for start in range(0, kept.shape[1], _CHUNK):
        part = kept[:, start : start + _CHUNK].double()
        signs = part.sign()
        # |x| where signs differ: half of |x| where both are kept, less x times the other's sign.
        against = part.abs() @ signs.abs().mT - part @ signs.mT
        sums.add("conflict", range(n), against.clamp(min=0) / 2)
        sums.add("trimmed", range(n), part.abs().sum(1, keepdim=True).expand(n, n))
    if len(block.shape) == 2:
        for side, shares in _subspace_energy(deltas).items():
            sums.energies[side].append(shares)


def add_inputs(sums: PairSums, block: ParamBlock, evidence: Sequence[InputMoments | None]) -> None:
    """What each update does to the outputs of the layers that a weight belongs to."""
    known = {
        i: found
        for i, found in enumerate(evidence)
        if found is not None and block.name in found.output_energy
    }
    rows = list(known)
    if not rows:
        return
    transposed = block.name in known[rows[0]].transposed
    deltas = matrices(torch.from_numpy(block.deltas), transposed)
    moved = torch.zeros(len(rows), len(deltas), dtype=torch.float64)
    alike = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    own = torch.zeros_like(deltas[rows])
    for number, start in enumerate(range(0, deltas.shape[2], _SLAB)):
        stop = min(start + _SLAB, deltas.shape[2])
        slabs = torch.stack([found.slab(block.name, number) for found in known.values()])
        slabs = slabs.to(deltas.dtype)
        grams = torch.stack([d[:, start:stop].mT @ d[:, start:] for d in deltas])
        # Columns beyond the square stand for the other half of a symmetric matrix as well.
        for columns, weight in ((slice(stop - start), 1), (slice(stop - start, None), 2)):
            part = slabs[:, :, columns]
            moved += weight * inner(part, grams[:, :, columns])
            alike += weight * inner(part, part)
        for k, i in enumerate(rows):
            own[k][:, start:] += deltas[i][:, start:stop] @ slabs[k]
            below = slabs[k][:, stop - start :]
            own[k][:, start:stop] += deltas[i][:, stop:] @ below.mT
    sums.add("moved", rows, moved)
    sums.add("along", rows, inner(own, deltas))
    norms = torch.linalg.vector_norm(deltas, dim=(1, 2), dtype=torch.float64)
    sums.add("matrix_norm2", rows, norms.square().expand(len(rows), -1))
    for k, i in enumerate(rows):
        sums.add("output", i, known[i].output_energy[block.name])
        similarity = np.zeros(len(deltas))
        similarity[rows] = (alike[k] / (alike[k, k] * alike.diagonal()).sqrt()).numpy()
        sums.add("input_similarity", i, similarity)
        sums.add("layers", i, 1.0)


def matrices(stack: Tensor, transposed: bool) -> Tensor:
    """(N, out, in) of a stack of weights; a kernel's positions count as inputs."""
    flat = stack.reshape(len(stack), stack.shape[1], -1)
    return flat.mT if transposed else flat


def inner(left: Tensor, right: Tensor) -> Tensor:
    """(R, N) of stacks (R, …) and (N, …), multiplied and added up in float64 by chunks."""
    a, b = left.reshape(len(left), -1), right.reshape(len(right), -1)
    total = torch.zeros(len(a), len(b), dtype=torch.float64)
    for start in range(0, a.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        total += a[:, part].double() @ b[:, part].double().mT
    return total


def _subspace_energy(deltas: Tensor) -> dict[str, Array]:
    """(N, N): ‖Uᵢᵀδⱼ‖² and ‖δⱼVᵢ‖² over ‖δⱼ‖², top directions of δᵢ; NaN where one is zero."""
    n = len(deltas)
    shares = {side: np.full((n, n), np.nan) for side in ("left", "right")}
    norms = torch.linalg.vector_norm(deltas, dim=(1, 2), dtype=torch.float64).square()
    for i in range(n):
        try:
            found = spectrum(deltas[i].numpy(), DIRECTIONS)
        except UndefinedError:
            continue
        left, right = (
            torch.from_numpy(v.copy()).to(deltas.dtype) for v in (found.left, found.right)
        )
        for side, seen in (("left", left @ deltas), ("right", deltas @ right.mT)):
            energy = torch.linalg.vector_norm(seen, dim=(1, 2), dtype=torch.float64).square()
            shares[side][i] = (energy / norms).clamp(max=1).numpy()
    return shares
