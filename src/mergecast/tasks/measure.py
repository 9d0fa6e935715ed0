"""What a checkpoint is worth on a task: score, loss and probability on all of its test samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mergecast.errors import UndefinedError, UsageError
from mergecast.runtime.stage import Stage
from mergecast.tasks.batches import BATCHES
from mergecast.tasks.probe import FORWARD, Probe
from mergecast.tasks.scores import IGNORED
from mergecast.tasks.task import Samples, Task

#: What is measured of every answer; each is a method of `Task`.
QUANTITIES = ("score", "loss", "probability")
#: Why there is no score, of a single model or a merge.
NOT_FINITE = "the model's output is not finite"
EVALUATION = Stage("evaluation", 1, uses=(FORWARD, BATCHES), modules=("mergecast.tasks.measure",))


@dataclass(frozen=True)
class TaskScore:
    """Means over a task's samples.

    Attributes
    ----------
    values : mapping of str to float
        Those of `QUANTITIES` that are defined: score (higher is better, 0 or more), loss (nats),
        probability of the true class.
    missing : mapping of str to str
        The others, each with the reason.
    n_eval : int
        Samples measured.
    n_classes : int
        Outputs that the model chooses among.
    samples : sequence of float
        The score of each sample, in their order; none where the score is missing.
    """

    values: Mapping[str, float]
    missing: Mapping[str, str]
    n_eval: int
    n_classes: int
    samples: Sequence[float] = ()


@torch.no_grad()
def measure(probe: Probe, samples: Samples, batch_size: int | None = None) -> TaskScore:
    """Score, loss and probability of the loaded weights on labelled samples, in float64.

    Parameters
    ----------
    probe : Probe
        Loaded with the weights to measure.
    samples : Samples
        With labels.
    batch_size : int, optional
        Samples run at once; what the task asks for by default. Means are taken over all samples,
        so it changes no more than the rounding of the forward pass.

    Returns
    -------
    TaskScore
        A quantity is missing where the task does not define it, the samples have no labels or the
        model's output is not finite.

    Raises
    ------
    UsageError
        The model does not take the inputs, labels do not fit its output, or a task's own measure
        is not one number a sample.
    """
    size = batch_size or probe.task.batch_size
    answers = ((probe.forward(batch).cpu(), batch.labels) for batch in samples.batches(size))
    return scored(probe.task, answers, len(samples))


def scored(task: Task, answers: Iterable[tuple[Tensor, Tensor | None]], count: int) -> TaskScore:
    """Score, loss and probability of answers to `count` samples, (logits, labels) of each part."""
    parts: dict[str, list[Tensor]] = {quantity: [] for quantity in QUANTITIES}
    missing: dict[str, str] = {}
    n_classes = 0
    for given, labels in answers:
        logits = given.double()
        n_classes = logits.shape[-1]
        problem = _unusable(task, logits, labels)
        if problem or labels is None:
            missing = dict.fromkeys(QUANTITIES, problem)
            break
        for quantity in QUANTITIES:
            if quantity not in missing:
                try:
                    parts[quantity].append(_of_each(task, quantity, logits, labels))
                except UndefinedError as reason:
                    missing[quantity] = str(reason)
    values = {
        quantity: float(torch.cat(part).sum() / count)
        for quantity, part in parts.items()
        if quantity not in missing
    }
    scores = [] if "score" in missing else torch.cat(parts["score"]).tolist()
    return TaskScore(values, missing, count, n_classes, scores)


def always_commonest(labels: Tensor | None) -> Tensor:
    """Scores of answering the commonest class for every sample, (n,), where accuracy is the score.

    Raises
    ------
    UndefinedError
        There is not one class a sample.
    """
    if labels is None or labels.dim() != 1 or labels.is_floating_point():
        raise UndefinedError("majority", "the samples have not one class each")
    return (labels == labels.bincount().argmax()).double()


def majority(labels: Tensor | None) -> float:
    """Mean of `always_commonest`; errors as of it."""
    return float(always_commonest(labels).mean())


def _unusable(task: Task, logits: Tensor, labels: Tensor | None) -> str:
    """Why nothing can be measured of this output; empty where something can."""
    if labels is None:
        return f"task {task.name!r}: its samples have no labels"
    task.check_labels(logits, labels)
    # Padding may be anything: only what is asked about must be finite.
    asked = logits[labels != IGNORED] if labels.dim() == 2 else logits
    if bool(torch.isfinite(asked).all()):
        return ""
    return f"task {task.name!r}: {NOT_FINITE}"


def _of_each(task: Task, quantity: str, logits: Tensor, labels: Tensor) -> Tensor:
    """One number a sample, float64."""
    values: object = getattr(task, quantity)(logits, labels)
    if not isinstance(values, Tensor) or values.shape != labels.shape[:1]:
        shape = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise UsageError(
            f"task {task.name!r}",
            f"its {quantity} gave {shape} for {len(labels)} samples",
            "return one number a sample",
        )
    if not bool(torch.isfinite(values).all()):
        raise UndefinedError(f"task {task.name!r}", f"its {quantity} is not finite")
    return values.double()
