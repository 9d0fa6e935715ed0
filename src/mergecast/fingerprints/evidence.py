"""One model's interference evidence: measured once, kept on disk, read one parameter at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mergecast.errors import UndefinedError
from mergecast.family.family import Family
from mergecast.fingerprints.curvature import (
    CURVATURE_DRAWS,
    LayerMoments,
    layer_moments,
    per_sample_gradients,
)
from mergecast.fingerprints.retention import MergeBench

#: Bytes of per-sample gradients held at once; each group of samples reads the deltas once.
GRADIENT_BUDGET = 1 << 30


@dataclass(frozen=True)
class Evidence:
    """Where one model's moments and gradients lie, and what is missing.

    Attributes
    ----------
    path : a safetensors file with ``gradient/…``, ``fisher/…``, ``inputs/…``, ``curvature/…``.
    output_energy : weight name to mean squared norm of its layer's output.
    transposed : weights stored as (in, out).
    products : (n samples, N) inner products of each sample's gradient with every task vector,
        models in sorted order.
    no_gradient : why there are no gradients; "" where there are.
    """

    path: Path
    output_energy: Mapping[str, float]
    transposed: frozenset[str]
    products: Tensor | None
    no_gradient: str

    def tensor(self, kind: str, name: str) -> Tensor | None:
        """One tensor in float64, or None where there is none of it."""
        with safe_open(str(self.path), "pt") as file:
            key = f"{kind}/{name}"
            if key not in file.keys():  # noqa: SIM118  (the handle is no mapping)
                return None
            found: Tensor = file.get_tensor(key)
        return found.double()


def measure(bench: MergeBench, member: str, folder: Path, *, gradients: bool = True) -> Evidence:
    """Measure one model on its own calibration samples and write what is large into `folder`.

    Parameters
    ----------
    bench : family, tasks and settings.
    member : label of the model.
    folder : an existing folder; one file a model.
    gradients : take backward passes too (labels and curvature); otherwise inputs only.
    """
    family = bench.family.subset(sorted(bench.family.names))
    samples = bench.samples(member)
    probe, parameters = bench.probe(member), bench.probed.state(member)
    layers = layer_moments(
        probe,
        parameters,
        samples,
        family.shared,
        seed=bench.probed.settings.seed,
        draws=CURVATURE_DRAWS if gradients else 0,
    )
    tensors = dict(_moments(layers, gradients))
    products, no_gradient = None, "gradients were not asked for"
    if gradients:
        try:
            stream = per_sample_gradients(probe, parameters, samples, family.shared)
            products, sums = _reduce(family, stream, len(samples))
            tensors |= sums
            no_gradient = ""
        except UndefinedError as reason:
            no_gradient = str(reason)
    path = folder / f"{family.names.index(member):04}.safetensors"
    save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, str(path))
    return Evidence(
        path,
        {name: moments.output_energy for name, moments in layers.items()},
        frozenset(name for name, moments in layers.items() if moments.transposed),
        products,
        no_gradient,
    )


def _moments(layers: Mapping[str, LayerMoments], gradients: bool) -> Iterator[tuple[str, Tensor]]:
    for name, moments in layers.items():
        yield f"inputs/{name}", moments.inputs
        if gradients:
            yield f"curvature/{name}", moments.curvature


def _reduce(
    family: Family, gradients: Iterator[dict[str, Tensor]], count: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """⟨g_s, τⱼ⟩ of every sample and model, the mean gradient and the mean squared gradient."""
    sums: dict[str, Tensor] = {}
    rows: list[Tensor] = []
    group: list[dict[str, Tensor]] = []
    for gradient in gradients:
        for name, value in gradient.items():
            for kind, part in (("gradient", value), ("fisher", value.square())):
                key = f"{kind}/{name}"
                sums[key] = sums[key] + part / count if key in sums else part / count
        group.append(gradient)
        size = sum(value.numel() * value.element_size() for value in gradient.values())
        if (len(group) + 1) * size > GRADIENT_BUDGET:
            rows.append(_products(family, group))
            group = []
    if group:
        rows.append(_products(family, group))
    return torch.cat(rows), sums


def _products(family: Family, group: list[dict[str, Tensor]]) -> Tensor:
    """(len(group), N), accumulated in float64 over the parameters in their order."""
    total = torch.zeros(len(group), family.size, dtype=torch.float64)
    for block in family.blocks():
        if block.name not in group[0]:
            continue
        stacked = torch.stack([g[block.name].reshape(-1).cpu().double() for g in group])
        deltas = torch.from_numpy(block.deltas).reshape(family.size, -1).double()
        total += stacked @ deltas.mT
    return total
