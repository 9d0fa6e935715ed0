"""Activation fingerprints: every model's mean last-block output over one shared set of samples.

The set holds k samples of every task, so each of the N models makes one forward pass over N·k
samples. What is stored is the mean over the samples of one task under one model: a new model
then costs its own pass and k samples of the others, not everything anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from mergecast.checkpoints.checkpoint import Array
from mergecast.errors import MergecastError, UndefinedError, UsageError
from mergecast.evidence.activations.layers import find_layer
from mergecast.evidence.session import ProbedFamily
from mergecast.tasks.probe import Probe
from mergecast.tasks.task import Samples


@dataclass(frozen=True)
class ActivationFingerprints:
    """What the activation metrics of all pairs are computed from.

    Attributes
    ----------
    members : labels of the N models.
    vectors : (N, d), float64: mean activation over samples and tokens; NaN where undefined.
    layers : the block of each model that was read.
    undefined : model label to reason.
    """

    members: tuple[str, ...]
    vectors: Array
    layers: dict[str, str]
    undefined: dict[str, str] = field(default_factory=dict)


def collect_activations(
    probed: ProbedFamily, advance: Callable[[int], None] | None = None
) -> ActivationFingerprints:
    """Run every model once over the calibration samples of all tasks.

    Parameters
    ----------
    probed : the family and its tasks.
    advance : called with 1 for each model done.

    Raises
    ------
    UsageError
        Too few samples, a layer that is not there, inputs that a model does not take.
    """
    members = probed.family.names
    samples = {label: probed.samples(label) for label in members}
    vectors: dict[str, Array] = {}
    layers: dict[str, str] = {}
    undefined: dict[str, str] = {}
    for label in members:
        task = probed.tasks[label]
        layers[label] = find_layer(probed.probe(label).module, probed.settings.layer, task.private)
        try:
            vectors[label] = _mean_over_tasks(probed, label, layers[label], samples)
        except UndefinedError as error:
            undefined[label] = str(error)
        if advance:
            advance(1)
    widths = {len(vector) for vector in vectors.values()}
    if len(widths) > 1:
        raise UsageError(
            "activations",
            f"have {sorted(widths)} numbers in blocks {sorted(set(layers.values()))}",
            "name a block of one width with --layer",
        )
    width = widths.pop() if widths else 0
    nothing = np.full(width, np.nan)
    stacked = np.stack([vectors.get(label, nothing) for label in members])
    return ActivationFingerprints(members, stacked, layers, undefined)


def _mean_over_tasks(
    probed: ProbedFamily, label: str, layer: str, samples: dict[str, Samples]
) -> Array:
    """Mean of the tasks' means, which all have the same number of samples."""
    specs = {
        of: probed.spec("activations", label, part, layer=layer) for of, part in samples.items()
    }
    means = {of: probed.store.get(spec) for of, spec in specs.items()}
    todo = [of for of, found in means.items() if found is None]
    if todo:
        probe = probed.load(label)
        for together in _compatible(todo, samples):
            try:
                rows = activations(
                    probe,
                    _joined([samples[of] for of in together]),
                    layer,
                    probed.settings.batch_size,
                )
            except MergecastError as error:
                raise error.about(f"model {label!r} on samples of {', '.join(together)}") from error
            start = 0
            for of in together:
                mean = rows[start : start + len(samples[of])].mean(axis=0)
                start += len(samples[of])
                means[of] = {"mean": mean.tolist()}
                probed.store.put(specs[of], means[of] or {})
    found = [value["mean"] for value in means.values() if value is not None]
    average: Array = np.mean(np.asarray(found, dtype=np.float64), axis=0)
    return average


@torch.no_grad()
def activations(probe: Probe, samples: Samples, layer: str, batch_size: int) -> Array:
    """Output of `layer` at the loaded weights, (n, d) float64, averaged over tokens or pixels.

    Tokens are averaged where the attention mask is 1.

    Raises
    ------
    UndefinedError
        An output is not finite.
    UsageError
        The layer does not run, or gives something else than one tensor a sample.
    """
    rows: list[Array] = []
    with _captured(probe.module, layer) as outputs:
        for batch in samples.batches(batch_size):
            outputs.clear()
            probe.forward(batch)
            if not outputs:
                raise UsageError(f"layer {layer!r}", "does not run in a forward pass", "name one")
            found = _mean_over_positions(outputs[-1], batch, layer)
            rows.append(found.double().cpu().numpy())
    joined = np.concatenate(rows)
    finite = np.isfinite(joined).all(axis=1)
    if not finite.all():
        first = samples.ids[int(np.argmin(finite))]
        raise UndefinedError(f"layer {layer!r}", f"its output is not finite on sample {first}")
    return joined


@contextmanager
def _captured(module: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """The outputs of `layer` while the context lasts; the hook is removed whatever happens."""
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: object) -> None:
        while isinstance(output, tuple | list) and output:
            output = output[0]
        found = getattr(output, "last_hidden_state", output)
        if not isinstance(found, Tensor):
            raise UsageError(
                f"layer {layer!r}", f"returns {type(output).__name__}, not a tensor", "name another"
            )
        outputs.append(found)

    handle = module.get_submodule(layer).register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def _mean_over_positions(output: Tensor, batch: Samples, layer: str) -> Tensor:
    """(n, d) of an output (n, d), (n, tokens, d), or channels-first (n, d, height, width)."""
    if output.dim() < 2 or len(output) != len(batch):
        raise UsageError(
            f"layer {layer!r}",
            f"returns shape {list(output.shape)} for {len(batch)} samples",
            "name a block whose output has one row a sample",
        )
    # float64 sums: a mean over thousands of pixels keeps float32's precision.
    values = output.double()
    if output.dim() == 3:
        mask = batch.inputs.get("attention_mask")
        if mask is not None and mask.shape == output.shape[:2]:
            weights = mask.to(values.device, values.dtype).unsqueeze(-1)
            return (values * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        return values.mean(dim=1)
    return values.flatten(2).mean(dim=2) if output.dim() > 3 else values


def _compatible(labels: Sequence[str], samples: dict[str, Samples]) -> Iterator[list[str]]:
    """Tasks whose samples can share a batch: the same inputs, shapes and types."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for label in labels:
        shape = tuple(
            (name, tuple(value.shape[1:]), value.dtype)
            for name, value in sorted(samples[label].inputs.items())
        )
        groups.setdefault(shape, []).append(label)
    yield from groups.values()


def _joined(parts: Sequence[Samples]) -> Samples:
    return Samples(
        {name: torch.cat([part.inputs[name] for part in parts]) for name in parts[0].inputs},
        None,
        tuple(sample for part in parts for sample in part.ids),
    )
