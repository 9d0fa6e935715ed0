"""One model's gradient evidence: measured once, kept on disk, read one parameter at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import UndefinedError
from mergecast.evidence.interference.curvature import (
    CURVATURE_DRAWS,
    layer_moments,
    per_sample_gradients,
)
from mergecast.evidence.retention.collect import MergeBench
from mergecast.family.family import Family

#: Bytes of per-sample gradients held at once; each group of samples reads the deltas once.
GRADIENT_BUDGET = 3 << 29
#: Width of a layer beyond which its curvature is estimated from as many signed sums of rows: a
#: pair costs what it costs, 2 · 256 flops a parameter and method, however wide the layers are.
SKETCH = 256
_CHUNK = 1 << 17


@dataclass(frozen=True)
class Evidence:
    """Where one model's curvature and gradient lie, and what is missing.

    Attributes
    ----------
    curvature : a file of ``outputs/…`` and ``inputs/…``, the factors of every layer; None where
        there are none.
    transposed : weights stored as (in, out).
    gradient : a file of the mean gradient; None where there is none.
    fisher, fisher_diagonal : (N,) float64, of every task vector, models in sorted order.
    no_curvature, no_gradient : why there are none; "" where there are.
    """

    curvature: Checkpoint | None
    transposed: frozenset[str]
    gradient: Checkpoint | None
    fisher: Tensor
    fisher_diagonal: Tensor
    no_curvature: str
    no_gradient: str

    def factors(self, name: str) -> tuple[Tensor, Tensor] | None:
        """The layer's F and X; see `LayerMoments.factors`. None for what is no such weight."""
        file = self.curvature
        if file is None or f"outputs/{name}" not in file.infos:
            return None
        left, right = (to_tensor(file.array(f"{kind}/{name}")) for kind in _FACTORS)
        return left, right


_FACTORS = ("outputs", "inputs")


def measure(bench: MergeBench, member: str) -> Evidence:
    """Measure one model on its own calibration samples; what the store has is not done again.

    Parameters
    ----------
    bench : family, tasks and settings.
    member : label of the model.
    """
    curvature: Checkpoint | None = None
    transposed: frozenset[str] = frozenset()
    no_curvature = ""
    try:
        curvature, transposed = _curvature(bench, member)
    except UndefinedError as reason:
        no_curvature = str(reason)
    try:
        gradient, squares, diagonal = _gradients(bench, member)
        no_gradient = ""
    except UndefinedError as reason:
        blank = torch.full((bench.family.size,), torch.nan, dtype=torch.float64)
        gradient, squares, diagonal, no_gradient = None, blank, blank, str(reason)
    return Evidence(curvature, transposed, gradient, squares, diagonal, no_curvature, no_gradient)


def _curvature(bench: MergeBench, member: str) -> tuple[Checkpoint, frozenset[str]]:
    """The file of the layers' factors, and which weights are stored as (in, out)."""
    seed, shared, store = bench.probed.settings.seed, bench.family.shared, bench.probed.store
    spec = bench.spec(
        "curvature", member, seed=seed, draws=CURVATURE_DRAWS, sketch=SKETCH, shared=list(shared)
    )
    path = f"curvature/{store.key(spec)}.safetensors"
    found = store.get(spec)
    if found is None:
        layers = layer_moments(
            bench.probe(member),
            bench.probed.state(member),
            bench.samples(member),
            shared,
            seed=seed,
            limit=SKETCH,
        )
        tensors: dict[str, Tensor] = {}
        for name, moments in layers.items():
            if moments.output_rows.rows:
                for kind, factor in zip(_FACTORS, moments.factors(), strict=True):
                    tensors[f"{kind}/{name}"] = factor.cpu().contiguous()
        found = {"transposed": [n for n, moments in layers.items() if moments.transposed]}
        store.put_file(spec, path, lambda part: write_safetensors(part, tensors), found)
    return Checkpoint.open(store.folder / path), frozenset(found["transposed"])


def _gradients(bench: MergeBench, member: str) -> tuple[Checkpoint, Tensor, Tensor]:
    """The file of the mean gradient and, for every task vector, the two forms of Fisher.

    Both forms are kept by model and partner, so that another model costs its own task vector.
    """
    family, store = bench.family.subset(sorted(bench.family.names)), bench.probed.store
    shared = list(family.shared)
    spec = bench.spec("sample gradients", member, shared=shared)
    path = f"sample-gradients/{store.key(spec)}.safetensors"
    pairs = {
        label: bench.spec("fisher", member, shared=shared, partner=bench.probed.digest(label))
        for label in family.names
    }
    known = {label: store.get(pair) for label, pair in pairs.items()}
    lacking = [label for label, value in known.items() if value is None]
    if store.get(spec) is None:
        lacking = list(family.names)
    if lacking:
        samples = bench.samples(member)
        stream = per_sample_gradients(
            bench.probe(member), bench.probed.state(member), samples, family.shared
        )
        products, diagonal, mean = reduce_gradients(family.subset(lacking), stream, len(samples))
        store.put_file(spec, path, lambda part: write_safetensors(part, mean), {})
        for k, label in enumerate(lacking):
            value = {
                "fisher": float(products[:, k].square().mean()),
                "diagonal": float(diagonal[k]),
            }
            known[label] = value
            if all(isfinite(number) for number in value.values()):
                store.put(pairs[label], value)
    values = [known[label] or {} for label in family.names]
    fisher, diagonals = (
        torch.tensor([value[kind] for value in values], dtype=torch.float64)
        for kind in ("fisher", "diagonal")
    )
    return Checkpoint.open(store.folder / path), fisher, diagonals


def reduce_gradients(
    family: Family, gradients: Iterator[Mapping[str, Tensor]], count: int
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """What interference keeps of `count` per-sample gradients, read once.

    Returns
    -------
    ⟨g_s, τⱼ⟩ (count, N) and Σ_k F_kk τⱼ,k² (N,), both float64; the mean gradient by name.
    """
    mean: dict[str, Tensor] = {}
    rows: list[Tensor] = []
    diagonal = torch.zeros(family.size, dtype=torch.float64)
    group: list[Mapping[str, Tensor]] = []
    for number, gradient in enumerate(gradients, 1):
        for name, value in gradient.items():
            if name in mean:
                mean[name].add_(value, alpha=1 / count)
            else:
                mean[name] = value / count
        group.append(gradient)
        size = sum(value.numel() * value.element_size() for value in gradient.values())
        if (len(group) + 1) * size > GRADIENT_BUDGET or number == count:
            products, squares = _products(family, group)
            rows.append(products)
            diagonal += squares / count
            group = []
    return torch.cat(rows), diagonal, {name: value.cpu() for name, value in mean.items()}


def _products(family: Family, group: Sequence[Mapping[str, Tensor]]) -> tuple[Tensor, Tensor]:
    """⟨g_s, τⱼ⟩ (len(group), N), and Σ_s Σ_k g_s,k² τⱼ,k² (N,).

    Chunks are multiplied in the weights' own dtype and added up in float64, in their order: the
    conversion of every delta, once a model and group, would cost more than the products.
    """
    total = torch.zeros(len(group), family.size, dtype=torch.float64)
    squares = torch.zeros(family.size, dtype=torch.float64)
    for block in family.blocks():
        if block.name not in group[0]:
            continue
        flat = [gradient[block.name].reshape(-1) for gradient in group]
        start = 0
        for _, part in block.chunks(_CHUNK):
            deltas = torch.from_numpy(part)
            stop = start + deltas.shape[1]
            stacked = torch.stack([g[start:stop].cpu().to(deltas.dtype) for g in flat])
            total += (stacked @ deltas.mT).double()
            squares += (deltas.square() @ stacked.square().sum(0)).double()
            start = stop
    return total, squares
