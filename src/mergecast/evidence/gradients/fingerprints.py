"""Gradient fingerprints: every model's mean loss gradient on its own task's samples.

A model makes one forward and one backward pass over k samples. Its gradient is written to a file
by content; the N files are then read side by side in chunks and reduced to Gram matrices, so that
memory holds one model, not N.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mergecast.checkpoints.checkpoint import Array, Checkpoint
from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import MergecastError, UndefinedError
from mergecast.evidence.gradients.backward import backward
from mergecast.evidence.session import ProbedFamily
from mergecast.family.blocks import CHUNK_ELEMENTS

_PARAMETER, _INPUT = "parameter.", "input"


@dataclass(frozen=True)
class GradientFingerprints:
    """What the gradient metrics of all pairs are computed from.

    Attributes
    ----------
    members : labels of the N models.
    gram : (N, N), float64: dot products of the shared parameters' mean gradients.
    input_gram : (N, N): dot products of the per-sample input gradients, in sample order, shorter
        inputs padded with zeros; NaN between inputs of different kinds.
    losses : model label to the mean loss on its calibration samples.
    undefined : model label to reason.
    """

    members: tuple[str, ...]
    gram: Array
    input_gram: Array
    losses: dict[str, float]
    undefined: dict[str, str] = field(default_factory=dict)


def collect_gradients(
    probed: ProbedFamily, advance: Callable[[int], None] | None = None
) -> GradientFingerprints:
    """Run every model once, forward and backward, over its own calibration samples.

    Parameters
    ----------
    probed : the family and its tasks.
    advance : called with 1 for each model done.

    Raises
    ------
    UsageError
        Too few samples, none with labels, labels outside the head, inputs a model does not take.
    """
    members = probed.family.names
    files: dict[str, Checkpoint] = {}
    losses: dict[str, float] = {}
    undefined: dict[str, str] = {}
    for label in members:
        try:
            path, losses[label] = gradient_file(probed, label)
            files[label] = Checkpoint.open(path)
        except UndefinedError as error:
            undefined[label] = str(error)
        if advance:
            advance(1)
    gram, input_gram = (np.full((len(members),) * 2, np.nan) for _ in range(2))
    if files:
        at = np.ix_(*[[members.index(label) for label in files]] * 2)
        opened = list(files.values())
        gram[at] = _parameter_gram(opened)
        input_gram[at] = _input_gram([file.floats(_INPUT).reshape(file.info(_INPUT).shape)
                                      for file in opened])  # fmt: skip
    return GradientFingerprints(members, gram, input_gram, losses, undefined)


def gradient_file(probed: ProbedFamily, label: str) -> tuple[Path, float]:
    """The file of a model's gradient and its mean loss; computed where the store lacks it.

    The file holds ``parameter.<name>`` for every shared parameter (zeros where the loss does not
    depend on it) and ``input``, (k, …): each sample's own gradient by its input.
    """
    samples = probed.samples(label)
    spec = probed.spec("gradients", label, samples, parameters=list(probed.family.shared))
    path = f"gradients/{probed.store.key(spec)}.safetensors"
    found = probed.store.get(spec)
    if found is None:
        probe = probed.load(label)
        try:
            result = backward(probe, samples, probed.family.shared, probed.settings.batch_size)
        except MergecastError as error:
            raise error.about(f"model {label!r}") from error
        tensors = {f"{_PARAMETER}{name}": value for name, value in result.parameters.items()}
        tensors[_INPUT] = result.inputs
        found = {"loss": result.loss}
        probed.store.put_file(spec, path, lambda part: write_safetensors(part, tensors), found)
    return probed.store.folder / path, float(found["loss"])


def _parameter_gram(files: Sequence[Checkpoint]) -> Array:
    """Gram matrix over all parameters, float64, by chunks in a fixed order."""
    total = np.zeros((len(files), len(files)))
    for name, info in files[0].infos.items():
        if not name.startswith(_PARAMETER):
            continue
        for start in range(0, info.size, CHUNK_ELEMENTS):
            stop = min(start + CHUNK_ELEMENTS, info.size)
            part = np.stack([file.floats(name, start, stop) for file in files]).astype(np.float64)
            total += part @ part.T
    return total


def _input_gram(inputs: Sequence[Array]) -> Array:
    """Dot products of (k, length, …) arrays; a shorter one is padded with zeros along length."""
    gram = np.full((len(inputs), len(inputs)), np.nan)
    for i, a in enumerate(inputs):
        for j, b in enumerate(inputs[: i + 1]):
            if a.shape[0] != b.shape[0] or a.shape[2:] != b.shape[2:]:
                continue
            length = min(a.shape[1], b.shape[1])
            x, y = (np.ascontiguousarray(v[:, :length], dtype=np.float64).ravel() for v in (a, b))
            gram[i, j] = gram[j, i] = x @ y
    return gram
