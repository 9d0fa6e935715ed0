"""What forms read of logits: a target's, its margin, all at one confidence, the likeliest."""

from __future__ import annotations

from functools import cached_property
from math import exp, inf
from typing import TYPE_CHECKING

from mergecast.errors import UndefinedError

if TYPE_CHECKING:
    from torch import Tensor

#: A mean below it is nothing to divide by.
_TOO_FEW = 1e-12
#: The mean confidence at which answers are compared, whatever the model's own. Chosen on
#: `digits-14`, seed 0, where forecasts from any value between 0.8 and 0.9 err the same.
CONFIDENCE = 0.85
#: How far a temperature may go, in the logarithm.
_RANGE = 20.0
#: Steps to a temperature of many merges, how near is near enough, and what was not found.
_STEPS, _NEAR, _FAR = 60, 1e-5, 1e-3
#: Answers with more classes are cut to the likeliest.
MOST_CLASSES = 256
#: How many classes are kept then.
LIKELIEST = 32


class Logits:
    """A model's logits on n samples and what forms read of them, each worked out once.

    Parameters
    ----------
    values : (n, classes) tensor
        Float64.
    model : str
        What an error calls it.
    """

    def __init__(self, values: Tensor, model: str) -> None:
        self.values, self.model = values, model
        self._at: dict[float, Tensor] = {}

    @cached_property
    def log(self) -> Tensor:
        """Log-probabilities, (n, classes)."""
        return self.values.log_softmax(dim=1)

    @cached_property
    def first(self) -> Tensor:
        """The prediction, (n,)."""
        return self.values.argmax(dim=1)

    @cached_property
    def confidence(self) -> float:
        """The largest probability of a row, in the mean."""
        return confidence_of(self.values)

    def at(self, confidence: float = CONFIDENCE) -> Tensor:
        """Probabilities of a mean confidence, as `at_confidence`."""
        if confidence not in self._at:
            self._at[confidence] = at_confidence(self.values, self.model, confidence)
        return self._at[confidence]

    def of(self, classes: Tensor) -> Logits:
        """Those of some classes of each row, (n, k)."""
        return Logits(self.values.gather(1, classes), self.model)


def likeliest(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Of many classes those to keep, (n, `LIKELIEST`), and the target's place among them.

    Those of the largest logits; the last gives way to the target where that is not among them.
    """
    import torch

    classes = logits.topk(LIKELIEST, dim=1).indices
    there = (classes[:, :-1] == target[:, None]).any(dim=1)
    last = torch.where(there, classes[:, -1], target)
    classes = torch.cat([classes[:, :-1], last[:, None]], dim=1)
    return classes, (classes == target[:, None]).int().argmax(dim=1)


def confidence_of(logits: Tensor) -> float:
    """The largest probability of a row, in the mean."""
    return float(logits.softmax(dim=1).amax(dim=1).mean())


def at_confidence(logits: Tensor, model: str, confidence: float = CONFIDENCE) -> Tensor:
    """Probabilities of a mean confidence, by the one temperature that gives it.

    Raises UndefinedError where none does, as of one class, which is always certain.
    """
    from scipy.optimize import brentq

    need_two_classes(logits)
    logits = logits - logits.amax(dim=1, keepdim=True)

    def excess(log_scale: float) -> float:
        return confidence_of(logits * exp(log_scale)) - confidence

    low, high = -_RANGE, _RANGE
    if not excess(low) < 0 < excess(high):
        reason = f"no temperature brings the {model} model's confidence to {confidence:.3g}"
        raise UndefinedError("retention", reason)
    return (logits * exp(brentq(excess, low, high, xtol=1e-9))).softmax(dim=1)


def each_at_confidence(logits: Tensor, confidence: float) -> Tensor:
    """Probabilities of many merges, each of a mean confidence: (b, n, k) to (b, n, k).

    As `at_confidence`, all at once, by Newton's steps within shrinking brackets; NaN for a merge
    that no temperature brings there.
    """
    import torch

    logits = logits - logits.amax(dim=2, keepdim=True)
    low = torch.full(logits.shape[:1], -_RANGE, dtype=logits.dtype)
    high, scale = -low, torch.zeros_like(low)
    for _ in range(_STEPS):
        scaled = logits * scale.exp()[:, None, None]
        odds = scaled.softmax(dim=2)
        first = odds.amax(dim=2)
        excess = first.mean(dim=1) - confidence
        slope = -(first * (odds * scaled).sum(dim=2)).mean(dim=1)
        low, high = torch.where(excess < 0, scale, low), torch.where(excess < 0, high, scale)
        if bool((excess.abs() < _NEAR).all()):
            return odds
        step = scale - excess / slope
        inside = (step > low) & (step < high)
        scale = torch.where(inside, step, (low + high) / 2)
    return torch.where((excess.abs() < _FAR)[:, None, None], odds, torch.nan)


def owners_of(logits: Tensor, rows: Tensor | None = None) -> Tensor:
    """The sample that each token of logits (n, L, V) belongs to, (r,); of some rows, or of all."""
    import torch

    count, length = logits.shape[:2]
    places = torch.arange(count * length) if rows is None else rows
    owners: Tensor = torch.div(places, length, rounding_mode="floor")
    return owners


def by_sample(values: Tensor, owners: Tensor) -> Tensor:
    """Means of tokens' values (..., r) over those of each sample, (..., n)."""
    import torch

    _, place, counts = torch.unique(owners, return_inverse=True, return_counts=True)
    sums = values.new_zeros(*values.shape[:-1], len(counts)).index_add_(-1, place, values)
    means: Tensor = sums / counts
    return means


def of_target(log_probabilities: Tensor, target: Tensor) -> Tensor:
    """The target's number of each row, (n,)."""
    return log_probabilities.gather(1, target[:, None])[:, 0]


def margins(logits: Tensor, target: Tensor) -> Tensor:
    """The target's logit less the best other's, (n,); raises UndefinedError for one class."""
    from torch.nn import functional

    need_two_classes(logits)
    hot = functional.one_hot(target, logits.shape[1]).bool()
    return of_target(logits, target) - logits.masked_fill(hot, -inf).amax(dim=1)


def need_two_classes(logits: Tensor) -> None:
    """Raise UndefinedError for a head of one class, whose only answer no merge can change."""
    if logits.shape[1] < 2:
        raise UndefinedError("retention", "a head of one class has no other answer")


def ratio_of(after: Tensor, before: Tensor, what: str) -> float:
    """One mean over another; raises UndefinedError where that is nothing."""
    if float(before) <= _TOO_FEW:
        raise UndefinedError(
            "retention", f"the fine-tuned model's mean {what} is {float(before):.3g}"
        )
    return float(after / before)
