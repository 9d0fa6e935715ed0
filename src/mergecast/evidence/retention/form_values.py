"""What the forms of retention are, one function a form: logits of both models to one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mergecast.errors import UndefinedError
from mergecast.evidence.retention.logits import (
    MOST_CLASSES,
    at_confidence,
    confidence_of,
    likeliest,
    margins,
    of_target,
    ratio_of,
)

if TYPE_CHECKING:
    from torch import Tensor

#: Fine-tuned models are right on so many samples, as far as is known without looking; and how
#: decided a model's answers are made when they are judged. Both chosen on eight families: six
#: small suites of digits and MiniLM classifiers, `digits-14` and `text-15` on MiniLM-L3.
_TYPICAL, _DECIDED = 0.8, 0.95
#: With so many labelled samples labels count as much as a half of what the model believes.
_LABELS = 200


@dataclass(frozen=True)
class Answers:
    """Logits of a merge and of the fine-tuned model on n samples (tokens, for language models).

    Attributes
    ----------
    merged, single : (n, classes) tensor
        Log-probabilities, float64.
    merged_logits, single_logits : (n, classes) tensor
        What they come from, float64.
    target : (n,) tensor
        The class asked about, int64.
    labelled : bool
        Whether that is the true class.
    """

    merged: Tensor
    single: Tensor
    merged_logits: Tensor
    single_logits: Tensor
    target: Tensor
    labelled: bool = False

    @property
    def own(self) -> Tensor:
        """The fine-tuned model's prediction, (n,)."""
        return self.single_logits.argmax(dim=1)


def probability(answers: Answers) -> float:
    """Mean probability of the target after the merge over that before: p̄ / p̄ᵢ."""
    before = of_target(answers.single, answers.target).exp().mean()
    return ratio_of(of_target(answers.merged, answers.target).exp().mean(), before, "probability")


def kept(answers: Answers) -> float:
    """Mean probability of the target where the fine-tuned model predicted the target.

    A few samples on which the fine-tuned model itself is wrong then add no noise.
    """
    right = answers.own == answers.target
    if not bool(right.any()):
        raise UndefinedError("retention", "the fine-tuned model gets no sample right")
    return float(of_target(answers.merged, answers.target)[right].exp().mean())


def margin(answers: Answers) -> float:
    """Mean margin (target's logit minus the best other's) over the fine-tuned model's."""
    before = margins(answers.single_logits, answers.target).mean()
    return ratio_of(
        margins(answers.merged_logits, answers.target).mean(), before, "margin of the target"
    )


def loss(answers: Answers) -> float:
    """Decrease of the mean cross-entropy in nats (negative: the merge made it worse)."""
    before, after = (
        of_target(answers.single, answers.target),
        of_target(answers.merged, answers.target),
    )
    return float(after.mean() - before.mean())


def accuracy(answers: Answers) -> float:
    """Accuracy after the merge over the fine-tuned model's."""
    before = (answers.own == answers.target).double().mean()
    after = (answers.merged_logits.argmax(dim=1) == answers.target).double().mean()
    return ratio_of(after, before, "accuracy")


def overlap(answers: Answers) -> float:
    """Mean shared mass Σ_c min(p, pᵢ) of the two predicted distributions, in [0, 1].

    One minus their total variation distance; it looks at all classes, not at one target.
    """
    return float(answers.merged.exp().minimum(answers.single.exp()).sum(dim=1).mean())


def matched(answers: Answers) -> float:
    """What is kept where both models predict with the same mean confidence, 0 or more.

    Tasks end with different confidence, and merges lose some of it without a change of their
    answers: forms that compare probabilities as they are compare confidences, which say little of
    accuracy. Both models' logits are multiplied by a number each, so that their largest
    probability is the same in the mean. The value is the mean of two: the mass that the
    predicted distributions share, and the target's probability over the fine-tuned model's.
    """
    after, before, target = answers.merged_logits, answers.single_logits, answers.target
    if before.shape[1] > MOST_CLASSES:
        classes, target = likeliest(before, target)
        after, before = after.gather(1, classes), before.gather(1, classes)
    after, before = at_confidence(after, "merged"), at_confidence(before, "fine-tuned")
    shared = float(after.minimum(before).sum(dim=1).mean())
    kept_target, own_target = of_target(after, target).mean(), of_target(before, target).mean()
    return (shared + ratio_of(kept_target, own_target, "probability")) / 2


def expected(answers: Answers) -> float:
    """Expected accuracy of the merge's answers over that of the fine-tuned model's own.

    Where a merge answers otherwise than the fine-tuned model, it is not always wrong: what counts
    is what the fine-tuned model believes of the merge's answer. Its confidence says too much or
    too little of how often it is right, so that its logits are brought to a mean confidence
    half-way between its own and what is typical. Answers are probabilities at a high confidence,
    the same for both models, so that a change short of another answer counts a little. True
    classes count beside beliefs, the more the more of them there are.
    """
    after, before, target = answers.merged_logits, answers.single_logits, answers.target
    if before.shape[1] > MOST_CLASSES:
        classes, target = likeliest(before, target)
        after, before = after.gather(1, classes), before.gather(1, classes)
    confidence = (confidence_of(before) + _TYPICAL) / 2
    right = at_confidence(before, "fine-tuned", confidence)
    if answers.labelled:
        share = len(target) / (len(target) + _LABELS)
        right = (1 - share) * right
        right[range(len(target)), target] += share
    said, own = (
        (at_confidence(logits, model, _DECIDED) * right).sum(dim=1).mean()
        for model, logits in (("merged", after), ("fine-tuned", before))
    )
    return ratio_of(said, own, "expected accuracy")
