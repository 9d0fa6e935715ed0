"""What the forms of retention are, one function a form: logits of both models to one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mergecast.errors import UndefinedError
from mergecast.evidence.retention.logits import (
    MOST_CLASSES,
    Logits,
    likeliest,
    margins,
    of_target,
    ratio_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from mergecast.evidence.retention.judges import Judge

#: Fine-tuned models are right so many times as often as they say: 0.93 to 0.97 of it on the six
#: measured suites, 0.95 in the mean (`benchmarks/belief.py`).
_TRUE = 0.95
#: How decided a model's answers are made when they are judged. Chosen on eight families: six small
#: suites of digits and MiniLM classifiers, `digits-14` and `text-15` on MiniLM-L3.
DECIDED = 0.95
#: With so many labelled samples labels count as much as a half of what the model believes, and how
#: often the model was right on them as much as what was known without looking.
_LABELS, _RIGHT = 200, 50
#: A model is taken to be right more often than by chance, by this factor at least.
_CHANCE = 1.1


@dataclass(frozen=True)
class Answers:
    """Logits of a merge and of the fine-tuned model on n samples (tokens, for language models).

    Attributes
    ----------
    merged, single : Logits
        Of n samples.
    target : (n,) tensor
        The class asked about, int64.
    labelled : bool
        Whether that is the true class.
    judge : Judge or None
        What stands for expected accuracy where the task has another score.
    """

    merged: Logits
    single: Logits
    target: Tensor
    labelled: bool = False
    judge: Judge | None = None

    @property
    def asked(self) -> tuple[Logits, Logits, Tensor, bool]:
        """What a judge asks about."""
        return self.merged, self.single, self.target, self.labelled

    def few(self) -> tuple[Logits, Logits, Tensor]:
        """Merged and own logits and the target, of the likeliest classes where there are many."""
        if self.single.values.shape[1] <= MOST_CLASSES:
            return self.merged, self.single, self.target
        classes, target = likeliest(self.single.values, self.target)
        return self.merged.of(classes), self.single.of(classes), target


def probability(answers: Answers) -> float:
    """Mean probability of the target after the merge over that before: p̄ / p̄ᵢ."""
    before = of_target(answers.single.log, answers.target).exp().mean()
    return ratio_of(
        of_target(answers.merged.log, answers.target).exp().mean(), before, "probability"
    )


def kept(answers: Answers) -> float:
    """Mean probability of the target where the fine-tuned model predicted the target.

    A few samples on which the fine-tuned model itself is wrong then add no noise.
    """
    right = answers.single.first == answers.target
    if not bool(right.any()):
        raise UndefinedError("retention", "the fine-tuned model gets no sample right")
    return float(of_target(answers.merged.log, answers.target)[right].exp().mean())


def margin(answers: Answers) -> float:
    """Mean margin (target's logit minus the best other's) over the fine-tuned model's."""
    before = margins(answers.single.values, answers.target).mean()
    return ratio_of(
        margins(answers.merged.values, answers.target).mean(), before, "margin of the target"
    )


def loss(answers: Answers) -> float:
    """Decrease of the mean cross-entropy in nats (negative: the merge made it worse)."""
    before, after = (
        of_target(answers.single.log, answers.target),
        of_target(answers.merged.log, answers.target),
    )
    return float(after.mean() - before.mean())


def accuracy(answers: Answers) -> float:
    """Accuracy after the merge over the fine-tuned model's."""
    before = (answers.single.first == answers.target).double().mean()
    after = (answers.merged.first == answers.target).double().mean()
    return ratio_of(after, before, "accuracy")


def overlap(answers: Answers) -> float:
    """Mean shared mass Σ_c min(p, pᵢ) of the two predicted distributions, in [0, 1].

    One minus their total variation distance; it looks at all classes, not at one target.
    """
    return float(answers.merged.log.exp().minimum(answers.single.log.exp()).sum(dim=1).mean())


def matched(answers: Answers) -> float:
    """What is kept where both models predict with the same mean confidence, 0 or more.

    Tasks end with different confidence, and merges lose some of it without a change of their
    answers: forms that compare probabilities as they are compare confidences, which say little of
    accuracy. Both models' logits are multiplied by a number each, so that their largest
    probability is the same in the mean. The value is the mean of two: the mass that the
    predicted distributions share, and the target's probability over the fine-tuned model's. Where
    a task's score is made of probabilities as they are, that score is what is kept.
    """
    if answers.judge is not None and answers.judge.by_confidence:
        return answers.judge.kept(*answers.asked)
    merged, single, target = answers.few()
    after, before = merged.at(), single.at()
    shared = float(after.minimum(before).sum(dim=1).mean())
    kept_target, own_target = of_target(after, target).mean(), of_target(before, target).mean()
    return (shared + ratio_of(kept_target, own_target, "probability")) / 2


def expected(answers: Answers) -> float:
    """Expected accuracy of the merge's answers over that of the fine-tuned model's own.

    Where a merge answers otherwise than the fine-tuned model, it is not always wrong: what counts
    is what the fine-tuned model believes of the merge's answer. Fine-tuned models say too much of
    how often they are right, so that its logits are brought to a mean confidence of 0.95 times its
    own, and from there towards the share of labelled samples that it has right. Answers are
    probabilities at a high confidence, the same for both models, so that a change short of another
    answer counts a little. True classes count beside beliefs, the more the more of them there are.
    A task with another score is asked for that.
    """
    if answers.judge is not None:
        return answers.judge.kept(*answers.asked)
    merged, single, target = answers.few()
    right = beliefs(single, target, answers.labelled)
    said, own = ((one.at(DECIDED) * right).sum(dim=1).mean() for one in (merged, single))
    return ratio_of(said, own, "expected accuracy")


def beliefs(single: Logits, target: Tensor, labelled: bool) -> Tensor:
    """How likely each answer is right, as far as the fine-tuned model and labels know, (n, k)."""
    confidence, n = _TRUE * single.confidence, len(target)
    if labelled:
        hits = float((single.first == target).sum())
        confidence = (hits + _RIGHT * confidence) / (n + _RIGHT)
    right = single.at(max(confidence, _CHANCE / single.values.shape[1]))
    if labelled:
        share = n / (n + _LABELS)
        right = (1 - share) * right
        right[range(n), target] += share
    return right
