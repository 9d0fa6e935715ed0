"""What a task is: an architecture, its private head, samples and a loss."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mergecast.errors import UndefinedError, UsageError
from mergecast.runtime.seeds import derived_seed

Split = Literal["calibration", "test"]
#: Label of a position that has none (the value that torch's cross-entropy ignores).
IGNORED = -100


@dataclass(frozen=True)
class Samples:
    """Samples of a task, ready for the model.

    Attributes
    ----------
    inputs : keyword arguments of the model's forward, first dimension n.
    labels : class indices, (n,) int64; for language models (n, L), where position t holds the
        token that follows it, or -100; None without labels.
    ids : one name a sample, the same for the same task and seed.
    """

    inputs: Mapping[str, Tensor]
    labels: Tensor | None
    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.inputs:
            raise UsageError("samples", "have no inputs", "name at least one input of the model")
        given = {**self.inputs, **({} if self.labels is None else {"labels": self.labels})}
        for name, value in given.items():
            length = len(value) if value.dim() else 0
            if length != len(self.ids):
                raise UsageError(
                    f"samples' {name}",
                    f"holds {length} rows for {len(self.ids)} samples",
                    "give one row a sample",
                )

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, size: int) -> Iterator[Samples]:
        """Consecutive parts of at most `size` samples."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield Samples(
                {name: value[part] for name, value in self.inputs.items()},
                None if self.labels is None else self.labels[part],
                self.ids[part],
            )

    def digest(self) -> str:
        """SHA-256 (hex) of inputs and labels: what a result on these samples depends on."""
        found = hashlib.sha256()
        labels = {} if self.labels is None else {"labels": self.labels}
        for name, value in (*sorted(self.inputs.items()), *labels.items()):
            found.update(f"{name}:{value.dtype}:{list(value.shape)}:".encode())
            found.update(value.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()


@dataclass
class Task(ABC):
    """One task of a family: an architecture, its private head, samples and a loss.

    Attributes
    ----------
    name : the label of the model that was fine-tuned for it.
    private : glob patterns of the parameters of its head.
    """

    name: str
    private: tuple[str, ...] = field(default=(), kw_only=True)

    @abstractmethod
    def build(self) -> nn.Module:
        """The architecture; the values of its parameters do not matter, they are loaded later."""

    @abstractmethod
    def samples(self, count: int, seed: int, split: Split = "calibration") -> Samples:
        """`count` samples that depend on task, seed and split only, never on a partner.

        Fewer samples of one seed are the first of more. Raises UsageError for too few samples.
        """

    @property
    def blueprint(self) -> str:
        """Tasks of one blueprint can use one module: heads of another size are swapped in."""
        return f"{type(self).__module__}.{type(self).__qualname__}:{self.name}"

    def head(self) -> Mapping[str, Tensor]:
        """Parameters that checkpoints do not hold, by name; none, unless overridden."""
        return {}

    def logits(self, output: Any) -> Tensor:
        """The logits in a model's output: (n, classes), for language models (n, L, vocabulary)."""
        found = getattr(output, "logits", output)
        if isinstance(found, tuple | list) and found:
            found = found[0]
        if not isinstance(found, Tensor):
            has = ", ".join(output) if isinstance(output, Mapping) else type(output).__name__
            raise UsageError(
                f"task {self.name!r}", f"its model returns no logits but {has}", "add a head"
            )
        if found.dim() not in (2, 3):
            raise UsageError(
                f"task {self.name!r}",
                f"its model returns logits of shape {list(found.shape)}",
                "return (n, classes), or (n, length, vocabulary) for a language model",
            )
        return found

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy in nats, one number a sample (n,): a mean over tokens for (n, L) labels.

        Raises UsageError for labels outside the head, UndefinedError for a sample without any.
        """
        self.check_labels(logits, labels)
        if labels.dim() == 1:
            return functional.cross_entropy(logits, labels, reduction="none")
        tokens = functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
        )
        counts = (labels != IGNORED).sum(dim=1)
        if not bool((counts > 0).all()):
            raise UndefinedError(f"task {self.name!r}", "a sample has no token to predict")
        return tokens.view(labels.shape).sum(dim=1) / counts

    def check_labels(self, logits: Tensor, labels: Tensor) -> None:
        """Raise UsageError for labels of another shape than the logits, or outside the head."""
        if logits.shape[:-1] != labels.shape:
            raise UsageError(
                f"task {self.name!r}",
                f"labels of shape {list(labels.shape)} for logits of {list(logits.shape)}",
                "give one label a sample, or one a token for a language model",
            )
        given = labels[labels != IGNORED] if labels.dim() == 2 else labels
        classes = logits.shape[-1]
        outside = given[(given < 0) | (given >= classes)]
        if outside.numel():
            raise UsageError(
                f"task {self.name!r}",
                f"label {int(outside[0])} is outside its head of {classes} classes",
                f"use labels 0 to {classes - 1}",
            )


def draw(available: int, count: int, seed: int, task: str, split: str) -> np.ndarray:
    """Indices of `count` of `available` samples, in an order of this task, split and seed.

    Raises UsageError when there are too few.
    """
    if not 1 <= count <= available:
        raise UsageError(
            f"task {task!r}",
            f"asked for {count} {split} samples of {available}",
            f"ask for 1 to {available}" if available else "give it samples",
        )
    generator = np.random.default_rng(derived_seed(seed, "samples", task, split))
    return generator.permutation(available)[:count]


def take(
    task: str,
    split: str,
    inputs: Mapping[str, Tensor],
    labels: Tensor | None,
    count: int,
    seed: int,
) -> Samples:
    """`count` samples of arrays in memory; see `draw`."""
    available = len(next(iter(inputs.values()))) if inputs else 0
    chosen = torch.from_numpy(draw(available, count, seed, task, split))
    return Samples(
        {name: value[chosen] for name, value in inputs.items()},
        None if labels is None else labels[chosen],
        tuple(f"{task}/{split}/{row}" for row in chosen.tolist()),
    )
