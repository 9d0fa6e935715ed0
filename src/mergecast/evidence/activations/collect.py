"""Activation fingerprints: every model's mean last-block output over one shared set of samples.

The set holds k samples of every task, so each of the N models makes one forward pass over N·k
samples. What is stored is the mean over the samples of one task under one model: a new model
then costs its own pass and k samples of the others, not everything anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from mergecast.errors import MergecastError, UndefinedError, UsageError
from mergecast.evidence.activations.layers import find_layer
from mergecast.evidence.activations.metrics import Activations
from mergecast.evidence.kind import Step
from mergecast.evidence.session import Session
from mergecast.runtime.stage import Stage
from mergecast.tasks.probe import FORWARD, Probe
from mergecast.tasks.task import Samples
from mergecast.typing import Array

STAGE = Stage(
    "activations",
    1,
    uses=(FORWARD,),
    modules=tuple(f"mergecast.evidence.activations.{name}" for name in ("collect", "layers")),
)


def collect(session: Session) -> Activations:
    """Run every model once over the calibration samples of all tasks.

    Raises
    ------
    UsageError
        Too few samples, a layer that is not there, inputs that a model does not take.
    """
    advance = session.progress.stage("activations", session.family.size)
    vectors: dict[str, Array] = {}
    layers: dict[str, str] = {}
    missing: dict[str, str] = {}
    for label in session.family.names:
        private = session.task(label).private
        layers[label] = find_layer(session.probe(label).module, session.settings.layer, private)
        try:
            vectors[label] = mean_activation(session, label, layers[label])
        except UndefinedError as error:
            missing[label] = str(error)
        advance(1)
    widths = {len(vector) for vector in vectors.values()}
    if len(widths) > 1:
        raise UsageError(
            "activations",
            f"have {sorted(widths)} numbers in blocks {sorted(set(layers.values()))}",
            "name a block of one width with --layer",
        )
    return Activations(vectors, layers, missing)


def steps(session: Session) -> Iterator[Step]:
    """One model over the samples of all tasks."""
    n, label = session.family.size, session.family.names[0]
    module, private = session.probe(label).module, session.task(label).private
    layer = find_layer(module, session.settings.layer, private)
    yield Step(lambda: mean_activation(session, label, layer), n, forward=1)


def mean_activation(session: Session, label: str, layer: str) -> Array:
    """(d,): the mean of the tasks' means, which all have the same number of samples."""
    samples = {of: session.samples(of) for of in session.family.names}
    specs = {of: session.spec(STAGE, label, part, layer=layer) for of, part in samples.items()}
    means = {of: session.store.get(spec) for of, spec in specs.items()}
    todo = [of for of, mean in means.items() if mean is None]
    for together in _compatible(todo, samples):
        joined = _joined([samples[of] for of in together])
        try:
            rows = activations(session.load(label), joined, layer, session.settings.batch_size)
        except MergecastError as error:
            raise error.about(f"model {label!r} on samples of {', '.join(together)}") from error
        parts = np.split(rows, np.cumsum([len(samples[of]) for of in together])[:-1])
        for of, part in zip(together, parts, strict=True):
            mean = means[of] = {"mean": part.mean(axis=0).tolist()}
            session.store.put(specs[of], mean)
    stacked = np.array([mean["mean"] for mean in means.values() if mean is not None])
    average: Array = stacked.mean(axis=0)
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
            pooled = _mean_over_positions(outputs[-1], batch, layer)
            rows.append(pooled.double().cpu().numpy())
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
        hidden = getattr(output, "last_hidden_state", output)
        if not isinstance(hidden, Tensor):
            raise UsageError(
                f"layer {layer!r}", f"returns {type(output).__name__}, not a tensor", "name another"
            )
        outputs.append(hidden)

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
        mask = batch.tokens(output.shape[1])
        if mask is not None:
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
