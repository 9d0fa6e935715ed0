"""Kinds of tasks: what a model's outputs are, what its labels look like, what its loss is.

One kind is one class of three functions. Everything else sees classes: a multi-label head is one
choice of two for each label, a language model one choice of the vocabulary for each token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mergecast.checkpoints.side_files import read_json
from mergecast.errors import UndefinedError, UsageError
from mergecast.tasks import scores
from mergecast.tasks.scores import IGNORED

Outputs = Literal["classes", "values", "features"]


def as_given(logits: Tensor) -> Tensor:
    """Logits as the model gives them."""
    return logits


@dataclass(frozen=True)
class Kind:
    """A kind of task.

    Attributes
    ----------
    name : str
        What task files call it.
    outputs : str
        ``classes`` that one chooses among, ``values`` of a regression, ``features``.
    dims : int
        Dimensions of the labels: 1 a sample, 2 a token or label of a sample.
    loss : callable
        Logits and labels to one number a sample, (n,).
    logits : callable
        Logits as the model gives them to those that are compared.
    """

    name: str
    outputs: Outputs
    dims: int
    loss: Callable[[Tensor, Tensor], Tensor]
    logits: Callable[[Tensor], Tensor] = as_given

    def labels(self, task: str, labels: Tensor) -> Tensor:
        """Labels in the form that the loss takes.

        Raises
        ------
        UsageError
            They are of another type, or have another number of dimensions.
        """
        if self.outputs == "values":
            return labels.to(torch.float32)
        whole = labels.is_floating_point() and bool((labels == labels.round()).all())
        if whole:
            labels = labels.long()
        if labels.is_floating_point() or labels.dim() != self.dims:
            raise UsageError(
                f"task {task!r}",
                f"labels are {str(labels.dtype).removeprefix('torch.')} of shape "
                f"{list(labels.shape)}",
                f"give integers with {self.dims} dimension(s) for the loss {self.name}",
            )
        return labels


def squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error of a regression's outputs, (n,)."""
    values = logits.reshape(len(labels), -1)
    return (values - labels.reshape(len(labels), -1)).square().mean(dim=1)


def no_loss(_logits: Tensor, _labels: Tensor) -> Tensor:
    """Embeddings have none."""
    raise UndefinedError("loss", "an embedding has none")


def two_choices(logits: Tensor) -> Tensor:
    """Logits (n, labels) of yes as those of no and yes, (n, labels, 2)."""
    return torch.stack([torch.zeros_like(logits), logits], dim=-1)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("classification", "classes", 1, scores.cross_entropy),
        Kind("next_token", "classes", 2, scores.cross_entropy),
        Kind("tokens", "classes", 2, scores.cross_entropy),
        Kind("seq2seq", "classes", 2, scores.cross_entropy),
        Kind("multi_label", "classes", 2, scores.cross_entropy, two_choices),
        Kind("regression", "values", 1, squared_error),
        Kind("embedding", "features", 1, no_loss),
    )
}
_BY_AUTO_CLASS = {
    "AutoModel": "embedding",
    "AutoModelForCausalLM": "next_token",
    "AutoModelForImageTextToText": "next_token",
    "AutoModelForMaskedLM": "tokens",
    "AutoModelForSeq2SeqLM": "seq2seq",
    "AutoModelForTextEncoding": "embedding",
    "AutoModelForTokenClassification": "tokens",
}
_BY_PROBLEM_TYPE = {
    "regression": "regression",
    "multi_label_classification": "multi_label",
    "single_label_classification": "classification",
}


def kind_of(auto: str | None, folder: Path | None, asked: str | None) -> Kind:
    """The kind that a task file asks for, or that its model's class and config say.

    Parameters
    ----------
    auto : str or None
        The transformers Auto class; None for a function of the user's.
    folder : Path or None
        The model's folder, whose config names the type of problem.
    asked : str or None
        What the file says.
    """
    if asked is not None:
        return KINDS[asked]
    if auto in _BY_AUTO_CLASS:
        return KINDS[_BY_AUTO_CLASS[auto]]
    config = read_json(folder / "config.json") if folder is not None else {}
    problem = _BY_PROBLEM_TYPE.get(str(config.get("problem_type")))
    if problem is None and auto == "AutoModelForSequenceClassification":
        labels: Any = config.get("id2label")
        one = isinstance(labels, dict) and len(labels) == 1
        problem = "regression" if one or config.get("num_labels") == 1 else None
    return KINDS[problem or "classification"]


def shifted_right(labels: Tensor, start: int, pad: int) -> Tensor:
    """A decoder's inputs for its labels, (n, L): the token before each, `start` first."""
    before = labels.masked_fill(labels == IGNORED, pad)
    return torch.cat([torch.full_like(before[:, :1], start), before[:, :-1]], dim=1)


def next_tokens(ids: Tensor, mask: Tensor | None = None) -> Tensor:
    """Labels (n, L) of token ids (n, L): position t holds token t + 1; -100 at the end and where
    either of the two is masked.
    """
    labels = torch.full_like(ids, IGNORED)
    labels[:, :-1] = ids[:, 1:]
    if mask is not None:
        labels[:, :-1][(mask[:, 1:] == 0) | (mask[:, :-1] == 0)] = IGNORED
    return labels
