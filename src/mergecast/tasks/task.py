"""What a task is: an architecture, its private head, samples, and how its answers are scored."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from mergecast.errors import UndefinedError, UsageError
from mergecast.runtime.seeds import derived_seed
from mergecast.runtime.stage import code_digest
from mergecast.tasks import scores
from mergecast.tasks.kinds import Outputs
from mergecast.tasks.scores import IGNORED, ScoreName
from mergecast.typing import Array

#: Where classes come from whose code no key has to hold.
_KNOWN = ("mergecast", "abc", "builtins", "typing")
Split = Literal["train", "calibration", "test"]
#: Samples run at once where nobody says otherwise.
BATCH_SIZE = 32


@dataclass(frozen=True)
class Samples:
    """Samples of a task, ready for the model.

    Attributes
    ----------
    inputs : mapping of str to Tensor
        Keyword arguments of the model's forward, first dimension n.
    labels : Tensor or None
        Class indices, (n,) int64; for language models (n, L), where position t holds the token
        that follows it, or -100; None without labels.
    ids : tuple of str
        One name a sample, the same for the same task and seed.
    """

    inputs: Mapping[str, Tensor]
    labels: Tensor | None
    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.inputs:
            raise UsageError("samples", "have no inputs", "name at least one input of the model")
        labels = {} if self.labels is None else {"labels": self.labels}
        for name, value in {**self.inputs, **labels}.items():
            length = len(value) if value.dim() else 0
            if length != len(self.ids):
                raise UsageError(
                    f"samples' {name}",
                    f"holds {length} rows for {len(self.ids)} samples",
                    "give one row a sample",
                )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size_in_bytes(self) -> int:
        """Memory that inputs and labels take."""
        labels = () if self.labels is None else (self.labels,)
        return sum(value.nbytes for value in (*self.inputs.values(), *labels))

    def batches(self, size: int) -> Iterator[Samples]:
        """Consecutive parts of at most `size` samples."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            inputs = {name: value[part] for name, value in self.inputs.items()}
            labels = None if self.labels is None else self.labels[part]
            yield Samples(inputs, labels, self.ids[part])

    def tokens(self, length: int, *, decoder: bool = False) -> Tensor | None:
        """Which positions of a sequence are no padding, (n, length) bool; None where nothing says.

        Parameters
        ----------
        length : int
            Of the sequence that is asked about.
        decoder : bool
            Whether it is the decoder's of a model with an encoder.
        """
        mask = self.inputs.get("decoder_attention_mask" if decoder else "attention_mask")
        if mask is None and decoder and self.labels is not None and self.labels.dim() == 2:
            mask = self.labels != IGNORED
        if mask is None or mask.dim() != 2 or mask.shape[1] != length:
            return None
        return mask.bool()

    def digest(self) -> str:
        """SHA-256 (hex) of inputs and labels: what a result on these samples depends on."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256()
        labels = {} if self.labels is None else {"labels": self.labels}
        for name, value in (*sorted(self.inputs.items()), *labels.items()):
            digest.update(f"{name}:{value.dtype}:{list(value.shape)}:".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


@dataclass
class Task(ABC):
    """One task of a family: an architecture, its private head, samples, and how it is scored.

    The three measures of an answer, `score`, `loss` and `probability`, take logits in float64 and
    labels as `Samples` holds them, and give one number a sample, (n,). A task overrides those that
    mean something else for it, and raises `UndefinedError` in those that it does not have.

    Attributes
    ----------
    name : str
        The label of the model that was fine-tuned for it.
    private : tuple of str
        Glob patterns of the parameters of its head, which are never merged.
    batch_size : int
        Samples run at once when the task is evaluated.
    """

    name: str
    private: tuple[str, ...] = field(default=(), kw_only=True)
    batch_size: int = field(default=BATCH_SIZE, kw_only=True)

    @abstractmethod
    def build(self) -> nn.Module:
        """The architecture; the values of its parameters do not matter, they are loaded later."""

    @abstractmethod
    def samples(self, count: int | None, seed: int, split: Split = "calibration") -> Samples:
        """`count` samples that depend on task, seed and split only, never on a partner.

        Fewer samples of one seed are the first of more; None gives all, in their own order,
        whatever the seed.

        Raises
        ------
        UsageError
            There are too few samples, or no such split.
        """

    def size(self, split: Split) -> int:
        """Number of samples of a split; errors as of `samples`."""
        return len(self.samples(None, 0, split))

    @property
    def blueprint(self) -> str:
        """Tasks of one blueprint can use one module: heads of another size are swapped in."""
        return f"{type(self).__module__}.{type(self).__qualname__}:{self.name}"

    @property
    def definition(self) -> dict[str, object]:
        """What answers and scores hang on beside blueprint, head and samples, as plain data.

        It is a part of all that stored numbers are kept under. Code of mergecast's own tasks has
        its stages; of a class from elsewhere the code counts as it is now.
        """
        found: dict[str, object] = {}
        if self.score_name != "accuracy":
            found["score"] = self.score_name
        classes = [one for one in type(self).__mro__ if one.__module__.split(".")[0] not in _KNOWN]
        if classes:
            found["code"] = [code_digest(one) for one in classes]
        return found

    def head(self) -> Mapping[str, Tensor]:
        """Parameters that checkpoints do not hold, by name; none, unless overridden."""
        return {}

    @property
    def kind_name(self) -> str:
        """What kind of task people are told that it is."""
        return "classification"

    @property
    def score_name(self) -> ScoreName:
        """Which of `mergecast.tasks.scores` the score is, or is most like: forecasts are of it."""
        return "accuracy"

    @property
    def outputs(self) -> Outputs:
        """What the logits are: ``classes``, ``values`` of a regression, or ``features``."""
        return "classes"

    @property
    def answers_tokens(self) -> bool:
        """Whether what is chosen among is the tokens of a vocabulary, so that labels are such."""
        return self.kind_name in ("next_token", "seq2seq")

    def answer(self, output: Any, samples: Samples) -> Tensor:
        """What is compared and scored of a model's output for some samples: its logits."""
        del samples
        return self.logits(output)

    def score(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How good each answer is, 0 or more; what `score_name` says, unless overridden.

        A merge's retention is its mean score over the single model's, so a ratio must mean
        something: see `mergecast.tasks.scores` for others.
        """
        return scores.SCORES[self.score_name](logits, labels)

    def probability(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Probability of the true class, of tokens the mean: smoother than the score."""
        return scores.probability(logits, labels)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy in nats, a mean over tokens for (n, L) labels.

        Raises
        ------
        UsageError
            Labels of another shape than the logits, or outside the head.
        UndefinedError
            A sample has no label.
        """
        self.check_labels(logits, labels)
        try:
            return scores.cross_entropy(logits, labels)
        except UndefinedError as error:
            raise error.about(f"task {self.name!r}") from error

    def logits(self, output: Any) -> Tensor:
        """The logits in a model's output: (n, classes), for language models (n, L, vocabulary)."""
        logits = getattr(output, "logits", output)
        if isinstance(logits, tuple | list) and logits:
            logits = logits[0]
        if not isinstance(logits, Tensor):
            has = ", ".join(output) if isinstance(output, Mapping) else type(output).__name__
            raise UsageError(
                f"task {self.name!r}", f"its model returns no logits but {has}", "add a head"
            )
        if logits.dim() not in (2, 3):
            raise UsageError(
                f"task {self.name!r}",
                f"its model returns logits of shape {list(logits.shape)}",
                "return (n, classes), or (n, length, vocabulary) for a language model",
            )
        return logits

    def check_labels(self, logits: Tensor, labels: Tensor) -> None:
        """Raise UsageError for labels of another shape than the logits, or outside the head."""
        if logits.shape[:-1] != labels.shape:
            raise UsageError(
                f"task {self.name!r}",
                f"labels of shape {list(labels.shape)} for logits of {list(logits.shape)}",
                "give one label a sample, or one a token for a language model",
            )
        asked = labels[labels != IGNORED] if labels.dim() == 2 else labels
        classes = logits.shape[-1]
        outside = asked[(asked < 0) | (asked >= classes)]
        if outside.numel():
            raise UsageError(
                f"task {self.name!r}",
                f"label {int(outside[0])} is outside its head of {classes} classes",
                f"use labels 0 to {classes - 1}",
            )


def draw(available: int, count: int | None, seed: int, task: str, split: str) -> Array:
    """Indices of `count` of `available` samples, in an order of this task, split and seed.

    None takes all of them as they stand. Raises UsageError when there are too few.
    """
    wanted = available if count is None else count
    if not 1 <= wanted <= available:
        raise UsageError(
            f"task {task!r}",
            f"asked for {wanted} {split} samples of {available}",
            f"ask for 1 to {available}" if available else "give it samples",
        )
    if count is None:
        return np.arange(available)
    generator = np.random.default_rng(derived_seed(seed, "samples", task, split))
    return generator.permutation(available)[:count]


def take(
    task: str,
    split: str,
    inputs: Mapping[str, Tensor],
    labels: Tensor | None,
    count: int | None,
    seed: int,
) -> Samples:
    """`count` samples of arrays in memory; see `draw`."""
    available = len(next(iter(inputs.values()))) if inputs else 0
    rows = torch.from_numpy(draw(available, count, seed, task, split))
    chosen = {name: value[rows] for name, value in inputs.items()}
    ids = tuple(f"{task}/{split}/{row}" for row in rows.tolist())
    return Samples(chosen, None if labels is None else labels[rows], ids)
