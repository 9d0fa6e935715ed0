"""Whether a model answers its task at all: beside its base, and beside one answer for everything.

The rule has one place, since all that measures, forecasts or checks must name the same models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from mergecast.errors import UndefinedError
from mergecast.tasks.measure import TaskScore, always_commonest
from mergecast.tasks.scores import IGNORED

#: One-sided level of the sign tests.
LEVEL = 0.05


@dataclass(frozen=True)
class Versus:
    """A model's scores beside other answers to the same samples.

    Attributes
    ----------
    score : float
        Mean score of the other answers.
    better, worse : int
        Samples on which the model scores higher, and lower, than they do.
    """

    score: float
    better: int
    worse: int

    @classmethod
    def of(cls, model: Sequence[float], other: Sequence[float]) -> Self:
        """The comparison of scores of the same samples, in one order."""
        pairs = list(zip(model, other, strict=True))
        better, worse = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
        return cls(sum(other) / len(other), better, worse)

    @property
    def is_beaten(self) -> bool:
        """Whether the model is better: exact sign test on the samples where the two differ."""
        return _tail(self.better, self.worse) <= LEVEL

    @property
    def is_ahead(self) -> bool:
        """Whether the other answers are better, by the same test."""
        return _tail(self.worse, self.better) <= LEVEL


@dataclass(frozen=True)
class Standing:
    """How a model answers its samples; what does not apply is None.

    Attributes
    ----------
    n : int
        Samples.
    score : float or None
        The model's mean score; None without labels.
    majority : Versus or None
        Beside the commonest class for every sample.
    base : Versus or None
        Beside the base with the model's head.
    only : int or None
        The one class that it answers, where there are no labels and it answers no other.
    """

    n: int
    score: float | None = None
    majority: Versus | None = None
    base: Versus | None = None
    only: int | None = None

    @classmethod
    def labelled(cls, single: TaskScore, base: TaskScore, labels: Tensor) -> Self:
        """The standing of a model that was scored, as its base was, on the same samples."""
        if not single.samples:
            return cls(single.n_eval)
        scores = single.samples
        try:
            right = always_commonest(labels).tolist()
            majority = Versus.of(scores, right) if {*scores} <= {0.0, 1.0} else None
        except UndefinedError:
            majority = None
        beside = Versus.of(scores, base.samples) if base.samples else None
        return cls(single.n_eval, single.values["score"], majority, beside)

    @classmethod
    def unlabelled(cls, logits: Tensor, asked: Tensor | None = None) -> Self:
        """The standing of a model by its logits alone.

        Parameters
        ----------
        logits : Tensor
            (n, classes) or (n, L, classes).
        asked : Tensor, optional
            (n, L), -100 at positions that do not count.
        """
        answers = logits.argmax(dim=-1)
        if asked is not None and asked.shape == answers.shape:
            answers = answers[asked != IGNORED]
        classes = set(answers.flatten().tolist())
        alike = len(classes) == 1 and len(logits) > 1 and logits.shape[-1] > 1
        return cls(len(logits), only=classes.pop() if alike else None)

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Self:
        """From plain data, as `dataclasses.asdict` gives it."""
        versus = {k: Versus(**data[k]) for k in ("majority", "base") if data[k] is not None}
        return cls(**{**data, **versus})

    @property
    def doubt(self) -> str:
        """Why this is hardly a model of its task, with the figures; empty where it is one.

        With labels: it is not better than the commonest class for every sample, or its base with
        its head is better than it, by exact one-sided sign tests at `LEVEL` on the samples where
        the two differ. Without: it answers every sample with one class.
        """
        if self.only is not None:
            return f"answers all {self.n} samples with class {self.only}"
        if self.score is None:
            return ""
        mine = f"scores {self.score:.3f} on {self.n} samples"
        if self.majority is not None and not self.majority.is_beaten:
            return (
                f"{mine}, no better than the commonest class for all of them, which scores "
                f"{self.majority.score:.3f} (right where that is wrong {self.majority.better} "
                f"times, the reverse {self.majority.worse} times; sign test at {LEVEL:.0%})"
            )
        if self.base is not None and self.base.is_ahead:
            return (
                f"{mine}, less than its base with its head, which scores {self.base.score:.3f} "
                f"(better on {self.base.worse} of them, worse on {self.base.better}; sign test at "
                f"{LEVEL:.0%})"
            )
        return ""


def _tail(wins: int, losses: int) -> float:
    """P(at least so many wins) if each is as likely as a loss; 1 where there is neither."""
    if not wins + losses:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(wins, wins + losses, alternative="greater").pvalue)
