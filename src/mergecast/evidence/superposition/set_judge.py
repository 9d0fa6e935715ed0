"""What says how much of a model's own answers many merges keep, all at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor
from torch.nn import functional

from mergecast.errors import UndefinedError
from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.retention.form_values import DECIDED, beliefs
from mergecast.evidence.retention.logits import Logits, each_at_confidence
from mergecast.evidence.session import Session

#: The form that sets are compared in.
FORM = "expected"


@dataclass(frozen=True)
class SetJudge:
    """What says how much of a model's own answers many merges keep, in `FORM`.

    Attributes
    ----------
    single : Tensor
        The model's own answers, (r, k).
    right : Tensor or None
        How likely each answer is right, (r, k); None for features, which have no classes.
    key : str
        The form and the way of asking.
    judge : callable or None
        Merges (b, r, k) to what they keep, (b,), of a task whose score is not accuracy.
    """

    single: Tensor
    right: Tensor | None
    key: str
    judge: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def of(cls, session: Session, task: str) -> SetJudge:
        """Raises UndefinedError for a regression, which has neither classes nor features, for
        one class, and for a model whose own score is 0.
        """
        outputs = session.task(task).outputs
        if outputs == "values":
            raise UndefinedError(f"model {task!r}", "a regression has no classes")
        kept, answers = own_answers(session, task)
        single, truth = answers.double(), kept.labels
        if outputs == "features":
            return cls(single.float(), None, f"{FORM}_unlabelled")
        way = "unlabelled" if truth is None else "labelled"
        logits = Logits(single, "fine-tuned")
        judge = kept.judge(session.task(task).score_name)
        if judge is not None:
            right = logits.log.exp().float() if truth is None else None
            ask = partial(judge.mean, target=logits.first if truth is None else truth, right=right)
            own = ask(single.float())
            if not float(own) > 0:
                score = judge.score.replace("_", " ")
                raise UndefinedError(f"model {task!r}", f"its {score} is 0 on its own samples")
            return cls(single.float(), right, f"{FORM}_{way}", lambda merged: ask(merged) / own)
        try:
            right = beliefs(logits, logits.first if truth is None else truth, truth is not None)
            own = (logits.at(DECIDED) * right).sum(dim=1).mean()
        except UndefinedError as error:  # which does not know whose answers they are
            raise UndefinedError(f"model {task!r}", error.problem, "leave it out") from error
        return cls(single.float(), (right / own).float(), f"{FORM}_{way}")

    def values(self, merged: Tensor) -> Tensor:
        """What each merge keeps, (b, r, k) to (b,)."""
        if self.judge is not None:
            return self.judge(merged)
        if self.right is None:
            return functional.cosine_similarity(merged, self.single, dim=-1).clamp(0, 1).mean(dim=1)
        return (each_at_confidence(merged, DECIDED) * self.right).sum(dim=2).mean(dim=1)
