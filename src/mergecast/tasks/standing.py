"""Whether a model answers its task at all: beside its base, and beside one answer for everything.

The rule has one place, since all that measures, forecasts or checks must name the same models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from torch import Tensor

from mergecast.errors import UndefinedError
from mergecast.tasks.measure import TaskScore, always_commonest

#: One-sided level of the sign tests: five samples are the fewest that can pass it.
LEVEL = 0.05
#: A score so far above that of the commonest class is skill, however few samples tell it.
SKILL = 0.05
#: Samples below which one class for all of them may be chance: two classes, equally likely.
LEAST = 6


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

    def could_be_beaten(self, n: int) -> bool:
        """Whether a model that is right on all n samples would pass that test."""
        return _tail(round(n * (1 - self.score)), 0) <= LEVEL

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
        The class that it answers for all samples, or whose samples alone it has right, all of
        them, among at least `LEAST`.
    tokens : bool
        Whether its answers are tokens, of which no class is the commonest.
    """

    n: int
    score: float | None = None
    majority: Versus | None = None
    base: Versus | None = None
    only: int | None = None
    tokens: bool = False

    @classmethod
    def labelled(cls, single: TaskScore, labels: Tensor, base: TaskScore | None = None) -> Self:
        """The standing of a model that was scored, as its base may be, on the same samples."""
        if not single.samples:
            return cls(single.n_eval)
        scores = single.samples
        try:
            right = always_commonest(labels).tolist()
        except UndefinedError:
            right = []
        majority = only = None
        if right and {*scores} <= {0.0, 1.0}:
            majority = Versus.of(scores, right)
            given = labels.tolist()
            known = {label for label, value in zip(given, scores, strict=True) if value}
            alone = len(known) == 1 < len({*given}) and sum(scores) == given.count(min(known))
            only = min(known) if alone and len(given) >= LEAST else None
        beside = Versus.of(scores, base.samples) if base is not None and base.samples else None
        tokens = labels.dim() > 1 and single.n_eval >= LEAST
        return cls(single.n_eval, single.values["score"], majority, beside, only, tokens)

    @classmethod
    def unlabelled(cls, logits: Tensor, tokens: Tensor | None = None) -> Self:
        """The standing of a model by its logits alone.

        Parameters
        ----------
        logits : Tensor
            (n, classes) or (n, L, classes).
        tokens : Tensor, optional
            (n, L), which positions count.
        """
        answers = logits.argmax(dim=-1)
        answers = answers if tokens is None else answers[tokens]
        classes = set(answers.flatten().tolist())
        alike = len(classes) == 1 and len(logits) >= LEAST and logits.shape[-1] > 1
        return cls(len(logits), only=classes.pop() if alike else None)

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Self:
        """From plain data, as `dataclasses.asdict` gives it."""
        versus = {k: Versus(**data[k]) for k in ("majority", "base") if data[k] is not None}
        return cls(**{**data, **versus})

    @property
    def _is_as_the_commonest(self) -> bool:
        """Whether it is no better than the commonest class, where a model could be."""
        if self.majority is None or self.score is None:
            return False
        small = self.score - self.majority.score < SKILL
        return small and self.majority.could_be_beaten(self.n) and not self.majority.is_beaten

    @property
    def tells_apart(self) -> bool:
        """Whether it leaves the commonest class more often where another is right.

        Exact one-sided test of Fisher at `LEVEL`: samples of other classes that are right against
        samples of the commonest that are wrong.
        """
        if self.majority is None:
            return False
        from scipy.stats import fisher_exact

        right, wrong = self.majority.better, self.majority.worse
        commonest = round(self.n * self.majority.score)
        table = [[right, self.n - commonest - right], [wrong, commonest - wrong]]
        return float(fisher_exact(np.array(table), alternative="greater").pvalue) <= LEVEL

    @property
    def remedy(self) -> str:
        """What is to be done about its doubt."""
        if self._is_as_the_commonest and self.tells_apart:
            return (
                "give samples with about as many of every class: on these its score hardly shows "
                "what it knows, or what merges keep of it"
            )
        return "check its file, head, labels and tokenizer: what merges keep of it says nothing"

    @property
    def doubt(self) -> str:
        """Why this is hardly a model of its task, with the figures; empty where it is one.

        With labels: it scores less than `SKILL` above the commonest class for every sample and is
        not better by the test, or its base with its head is better by it; or it is right on the
        samples of one class alone. The test is an exact one-sided sign test at `LEVEL` on the
        samples where the two differ; where they are too few for a perfect model to pass it, the
        commonest class is not asked. Where there is no commonest class, as of tokens, its base
        scores as much. Whatever the task, it gets no sample right. Without labels: it answers
        every sample with one class.
        """
        if self.score is None:
            answered = f"answers all {self.n} samples with class {self.only}"
            return answered if self.only is not None else ""
        mine = f"scores {self.score:.3f} on {self.n} samples"
        majority = self.majority
        if majority is not None and self._is_as_the_commonest:
            return (
                f"{mine}, no better than the commonest class for all of them, which scores "
                f"{majority.score:.3f} (right where that is wrong {majority.better} times, the "
                f"reverse {majority.worse} times; sign test at {LEVEL:.0%})"
                + ", though it tells the classes apart"
                * self.tells_apart
            )
        if self.only is not None:
            return (
                f"{mine}, and is right on those of class {self.only} alone, as if it knew no other"
            )
        if self.base is not None and self.base.is_ahead:
            return (
                f"{mine}, less than its base with its head, which scores {self.base.score:.3f} "
                f"(better on {self.base.worse} of them, worse on {self.base.better}; sign test at "
                f"{LEVEL:.0%})"
            )
        if self.score == 0 and self.n >= LEAST:
            return f"gets none of {self.n} samples right"
        if self.tokens and self.base is not None and self.score <= self.base.score:
            return f"{mine}, and its base with its head {self.base.score:.3f}"
        return ""


def _tail(wins: int, losses: int) -> float:
    """P(at least so many wins) if each is as likely as a loss; 1 where there is neither."""
    if not wins + losses:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(wins, wins + losses, alternative="greater").pvalue)
