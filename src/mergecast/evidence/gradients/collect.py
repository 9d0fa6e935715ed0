"""Gradient fingerprints: every model's mean loss gradient on its own task's samples.

A model makes one forward and one backward pass over k samples. Its gradient is written to a file
by content; the N files are then read side by side in chunks and reduced to Gram matrices, so that
memory holds one model, not N.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.errors import MergecastError, UndefinedError
from mergecast.evidence.gradients.backward import backward
from mergecast.evidence.gradients.metrics import Gradients
from mergecast.evidence.kind import Step
from mergecast.evidence.session import Session
from mergecast.family.blocks import CHUNK_ELEMENTS
from mergecast.runtime.stage import Stage
from mergecast.tasks.probe import FORWARD
from mergecast.tasks.task import Samples
from mergecast.typing import Array

#: Names in a gradient's file: before a shared parameter's, and of the inputs.
PARAMETER, INPUT = "parameter.", "input"


STAGE = Stage(
    "gradients",
    1,
    uses=(FORWARD,),
    modules=("mergecast.evidence.gradients.backward", "mergecast.evidence.gradients.collect"),
)


def collect(session: Session) -> Gradients:
    """Run every model once, forward and backward, over its own calibration samples.

    Raises
    ------
    UsageError
        Too few samples, none with labels, labels outside the head, inputs a model does not take.
    """
    advance = session.progress.stage("gradients", session.family.size)
    files: dict[str, Checkpoint] = {}
    missing: dict[str, str] = {}
    for label in session.family.names:
        try:
            files[label] = gradient_file(session, label, session.samples(label))
        except UndefinedError as error:
            missing[label] = str(error)
        advance(1)
    opened = list(files.values())
    inputs = [file.floats(INPUT).reshape(file.info(INPUT).shape) for file in opened]
    return Gradients(tuple(files), _parameter_gram(opened), _input_gram(inputs), missing)


def steps(session: Session) -> Iterator[Step]:
    """One model's pass forward and backward."""
    label = session.family.names[0]
    yield Step(
        lambda: gradient_file(session, label, session.samples(label)),
        session.family.size,
        forward=1,
        backward=1,
    )


def gradient_file(session: Session, label: str, samples: Samples) -> Checkpoint:
    """A model's gradient on samples of its task; computed where the store lacks it.

    The file holds ``parameter.<name>`` for every shared parameter (zeros where the loss does not
    depend on it) and ``input``, (k, …): each sample's own gradient by its input.

    Raises UndefinedError where the loss or the gradient is not finite.
    """
    shared = session.family.shared

    def compute() -> tuple[dict[str, Tensor], dict[str, object]]:
        try:
            result = backward(session.load(label), samples, shared, session.settings.batch_size)
        except MergecastError as error:
            raise error.about(f"model {label!r}") from error
        tensors = {
            f"{PARAMETER}{name}": session.family.base_rows(name, value)
            for name, value in result.parameters.items()
        }
        return {**tensors, INPUT: result.inputs}, {"loss": result.loss}

    spec = session.spec(STAGE, label, samples, parameters=list(shared))
    return session.file_unit(spec, "gradients", compute)[0]


def _parameter_gram(files: Sequence[Checkpoint]) -> Array:
    """Gram matrix over all parameters, float64, by chunks in a fixed order."""
    total = np.zeros((len(files), len(files)))
    for name, info in files[0].infos.items() if files else ():
        if not name.startswith(PARAMETER):
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
