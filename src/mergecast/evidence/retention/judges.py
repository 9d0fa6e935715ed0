"""Scores of tokens that are no accuracy: what a merge keeps of them, from logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mergecast.evidence.retention.logits import Logits, by_sample, of_target, owners_of, ratio_of

if TYPE_CHECKING:
    from torch import Tensor

    from mergecast.tasks.scores import ScoreName


@dataclass(frozen=True)
class Judge:
    """Likelihood or exact match of samples, as `mergecast.tasks.scores` has them.

    Attributes
    ----------
    score : str
        ``likelihood`` or ``exact_match``.
    owners : Tensor or None
        (r,) the sample that each token belongs to; None where every row is one.
    others : bool
        Whether the last class stands for all that were not kept: it is no answer.
    """

    score: ScoreName
    owners: Tensor | None = None
    others: bool = False

    @classmethod
    def of(cls, score: ScoreName, logits: Tensor, rows: Tensor | None = None) -> Self | None:
        """Of logits (n, k) or (n, L, k), or some rows of these; None where accuracy is the score.

        `rows` is as of `owners_of`.
        """
        if score == "accuracy":
            return None
        return cls(score, owners_of(logits, rows) if logits.dim() == 3 else None)

    @property
    def by_confidence(self) -> bool:
        """Whether the score is made of probabilities as they are."""
        return self.score == "likelihood"

    def kept(self, merged: Logits, single: Logits, target: Tensor, labelled: bool) -> float:
        """Mean score of the merge over that of the fine-tuned model.

        Parameters
        ----------
        merged, single : Logits
            Of the same r rows.
        target : Tensor
            (r,) true classes, or the fine-tuned model's predictions.
        labelled : bool
            Which of these. Without labels likelihood is the one that the fine-tuned model expects.
        """
        right = None if labelled else single.log.exp()
        after, before = (self.mean(one.values, target, right) for one in (merged, single))
        return ratio_of(after, before, self.score.replace("_", " "))

    def mean(self, logits: Tensor, target: Tensor, right: Tensor | None) -> Tensor:
        """Mean score over samples, (..., r, k) to (...,).

        Parameters
        ----------
        logits : Tensor
            Of merges.
        target : Tensor
            (r,) classes asked about.
        right : Tensor or None
            (r, k) what is believed of each class; None where the target is the true class.
        """
        if self.by_confidence:
            log = logits.log_softmax(dim=-1)
            each = (log * right).sum(-1) if right is not None else _of(log, target)
            return self._samples(each).exp().mean(dim=-1)
        answers = logits[..., :-1] if self.others else logits
        hits = (answers.argmax(dim=-1) == target).to(logits.dtype)
        return (self._samples(hits) == 1).to(logits.dtype).mean(dim=-1)

    def _samples(self, each: Tensor) -> Tensor:
        return each if self.owners is None else by_sample(each, self.owners)


def _of(log: Tensor, target: Tensor) -> Tensor:
    """The target's number of each row, (..., r, k) to (..., r)."""
    if log.dim() == 2:
        return of_target(log, target)
    return log.gather(-1, target.expand(log.shape[:-1])[..., None])[..., 0]
