"""Scores of a model's answers: one number a sample, in [0, 1], higher is better.

All take logits (n, classes) with labels (n,), or (n, L, vocabulary) with labels (n, L) of a
language model, where -100 marks a position without a label, and give (n,) in the logits' dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor
from torch.nn import functional

from mergecast.errors import UndefinedError

ScoreName = Literal["accuracy", "exact_match", "likelihood"]
#: Label of a position that has none (the value that torch's cross-entropy ignores).
IGNORED = -100


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the largest logit is the label's; of tokens, the share of those with a label."""
    return mean_of_tokens((logits.argmax(dim=-1) == labels).to(logits.dtype), labels)


def exact_match(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the answer is right as a whole: 1 where every labelled token has the largest logit.

    With labels on a span only, it is the exact match of that span: each token is predicted from
    the true ones before it, so that greedy decoding writes the span where the match is exact.
    """
    return (accuracy(logits, labels) == 1).to(logits.dtype)


def probability(logits: Tensor, labels: Tensor) -> Tensor:
    """Probability of the label; of tokens, the mean."""
    return mean_of_tokens((-_surprise(logits, labels)).exp(), labels)


def likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """Geometric mean of a sample's labelled tokens' probabilities, 1 / perplexity of that sample.

    The score of a task that has a loss and nothing else: a share of it can be retained. In
    the mean over samples, long ones count no more than short ones.
    """
    return (-cross_entropy(logits, labels)).exp()


#: Scores that a task may be judged by, by name.
SCORES: Mapping[ScoreName, Callable[[Tensor, Tensor], Tensor]] = {
    "accuracy": accuracy,
    "exact_match": exact_match,
    "likelihood": likelihood,
}


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats; of tokens, the mean. A loss: lower is better, unbounded."""
    return mean_of_tokens(_surprise(logits, labels), labels)


def mean_of_tokens(values: Tensor, labels: Tensor) -> Tensor:
    """Values (n,) as they are; of values (n, L) the mean over the positions that have a label.

    Raises
    ------
    UndefinedError
        A sample has no such position.
    """
    if labels.dim() == 1:
        return values
    labelled = labels != IGNORED
    counts = labelled.sum(dim=1)
    if not bool((counts > 0).all()):
        raise UndefinedError("tokens", "a sample has no token to predict")
    return values.where(labelled, 0).sum(dim=1) / counts


def _surprise(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p of every label, in the shape of `labels`; 0 where there is none."""
    classes = logits.shape[-1]
    flat = functional.cross_entropy(
        logits.reshape(-1, classes), labels.reshape(-1), ignore_index=IGNORED, reduction="none"
    )
    return flat.view(labels.shape)
