"""What partners' task vectors do to a model's layers, from unlabelled forward passes alone.

A layer's inputs on a model's samples have a second moment C; an update δ moves the layer's
outputs by tr(δ C δᵀ) in the mean. That is ⟨δᵀδ, C⟩, so that both sides are made once a model and
a pair costs one inner product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import UndefinedError
from mergecast.evidence.inputs.moments import LAYERS, layer_moments
from mergecast.evidence.kind import Step
from mergecast.evidence.readings import PairSums, Readings
from mergecast.evidence.session import Session
from mergecast.family.blocks import CHUNK_ELEMENTS, ParamBlock
from mergecast.runtime.stage import Stage

STAGE = Stage("input moments", 1, uses=(LAYERS,), modules=("mergecast.evidence.inputs.collect",))
#: Rows of a second moment held of all models at once.
_SLAB = 256
_NAMES = ("moved", "along", "matrix_norm2", "output", "input_similarity", "layers")


@dataclass(frozen=True)
class InputMoments:
    """Second moments of one model's layer inputs on its own samples.

    Attributes
    ----------
    file : Checkpoint
        ``<weight>/<number>``: rows of C from the diagonal on, `_SLAB` rows each.
    output_energy : mapping of str to float
        Weight name to mean squared norm of its layer's output.
    transposed : frozenset of str
        Weights stored as (in, out).
    """

    file: Checkpoint
    output_energy: Mapping[str, float]
    transposed: frozenset[str]

    def slab(self, name: str, number: int) -> Tensor:
        """(rows, in − first row), float32 or float64."""
        return to_tensor(self.file.array(f"{name}/{number}"))


def collect(session: Session) -> Readings:
    """Measure every model's inputs once, then run once over the parameters for all pairs."""
    family = session.family.subset(sorted(session.family.names))
    advance = session.progress.stage("inputs", family.size + len(family.shared))
    sums = PairSums(family.names, mutual=frozenset({("input_similarity",)}))
    moments: dict[int, InputMoments] = {}
    for i, member in enumerate(family.names):
        try:
            moments[i] = input_moments(session, member)
        except UndefinedError as reason:
            sums.missing |= {((name,), member): str(reason) for name in _NAMES}
        advance(1)
    for block in family.blocks():
        _add(sums, block, moments)
        advance(1)
    return sums.readings()


def steps(session: Session) -> Iterator[Step]:
    """One model's pass, then its part of the sums: what pairs share is made once a model."""
    n, label = session.family.size, session.family.names[0]
    yield Step(lambda: input_moments(session, label), n, forward=1)
    yield Step(lambda: collect(session.narrowed([label])), n)


def input_moments(session: Session, member: str) -> InputMoments:
    """One forward pass of a model over its own samples; the store's, where it is done.

    Raises UndefinedError where an output is not finite.
    """
    samples, shared = session.merge_samples(member), session.family.shared

    def compute() -> tuple[dict[str, Tensor], dict[str, object]]:
        probe, state = session.probe(member), session.state(member)
        layers = layer_moments(probe, state, samples, shared, draws=0)
        tensors = {}
        for name, moments in layers.items():
            matrix, rows = moments.input_rows.matrix(), moments.input_rows.rows
            for number, start in enumerate(range(0, len(matrix), _SLAB)):
                part = matrix[start : start + _SLAB, start:] / rows
                tensors[f"{name}/{number}"] = part.cpu().contiguous()
        return tensors, {
            "output": {name: moments.output_energy for name, moments in layers.items()},
            "transposed": [name for name, moments in layers.items() if moments.transposed],
        }

    spec = session.spec(STAGE, member, samples, shared=list(shared))
    file, record = session.file_unit(spec, "inputs", compute)
    return InputMoments(file, record["output"], frozenset(record["transposed"]))


def _add(sums: PairSums, block: ParamBlock, moments: Mapping[int, InputMoments]) -> None:
    """What each update does to the outputs of the layers that a weight belongs to."""
    rows = [i for i, one in moments.items() if block.name in one.output_energy]
    if not rows:
        return
    transposed = block.name in moments[rows[0]].transposed
    deltas = matrices(torch.from_numpy(block.deltas), transposed)
    moved = torch.zeros(len(rows), len(deltas), dtype=torch.float64)
    alike = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    own = torch.zeros_like(deltas[rows])
    for number, start in enumerate(range(0, deltas.shape[2], _SLAB)):
        stop = min(start + _SLAB, deltas.shape[2])
        slabs = torch.stack([moments[i].slab(block.name, number) for i in rows])
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
    sums.add(("moved",), rows, moved)
    sums.add(("along",), rows, inner(own, deltas))
    norms = torch.linalg.vector_norm(deltas, dim=(1, 2), dtype=torch.float64)
    sums.add(("matrix_norm2",), rows, norms.square().expand(len(rows), -1))
    for k, i in enumerate(rows):
        sums.add(("output",), i, moments[i].output_energy[block.name])
        similarity = np.zeros(len(deltas))
        similarity[rows] = (alike[k] / (alike[k, k] * alike.diagonal()).sqrt()).numpy()
        sums.add(("input_similarity",), i, similarity)
        sums.add(("layers",), i, 1.0)


def matrices(stack: Tensor, transposed: bool) -> Tensor:
    """(N, out, in) of a stack of weights; a kernel's positions count as inputs."""
    flat = stack.reshape(len(stack), stack.shape[1], -1)
    return flat.mT if transposed else flat


def inner(left: Tensor, right: Tensor) -> Tensor:
    """(R, N) of stacks (R, …) and (N, …), multiplied and added up in float64 by chunks."""
    a, b = left.reshape(len(left), -1), right.reshape(len(right), -1)
    total = torch.zeros(len(a), len(b), dtype=torch.float64)
    for start in range(0, a.shape[1], CHUNK_ELEMENTS):
        part = slice(start, start + CHUNK_ELEMENTS)
        total += a[:, part].double() @ b[:, part].double().mT
    return total
