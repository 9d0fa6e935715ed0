"""How much of a model's behaviour survives: forms of comparison on the same few samples.

Every form compares logits after a merge with the fine-tuned model's own. *Labelled* forms ask
about the true class; *unlabelled* forms take the fine-tuned model's prediction for it, so that
they need no labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mergecast.errors import UndefinedError
from mergecast.tasks.scores import IGNORED

_TOO_FEW = 1e-12


@dataclass(frozen=True)
class Answers:
    """Logits of a merge and of the fine-tuned model on n samples (tokens, for language models).

    Attributes
    ----------
    merged, single : log-probabilities (n, classes), float64.
    merged_logits, single_logits : what they come from, float64.
    target : the class asked about, (n,) int64.
    """

    merged: Tensor
    single: Tensor
    merged_logits: Tensor
    single_logits: Tensor
    target: Tensor

    @property
    def own(self) -> Tensor:
        """The fine-tuned model's prediction, (n,)."""
        return self.single_logits.argmax(dim=1)


Form = Callable[[Answers], float]


def probability(answers: Answers) -> float:
    """Mean probability of the target after the merge over that before: p̄ / p̄ᵢ."""
    before = _of(answers.single, answers.target).exp().mean()
    return _ratio(_of(answers.merged, answers.target).exp().mean(), before, "probability")


def kept(answers: Answers) -> float:
    """Mean probability of the target where the fine-tuned model predicted the target.

    A few samples on which the fine-tuned model itself is wrong then add no noise.
    """
    right = answers.own == answers.target
    if not bool(right.any()):
        raise UndefinedError("retention", "the fine-tuned model gets no sample right")
    return float(_of(answers.merged, answers.target)[right].exp().mean())


def margin(answers: Answers) -> float:
    """Mean margin (target's logit minus the best other's) over the fine-tuned model's."""
    before = _margins(answers.single_logits, answers.target).mean()
    return _ratio(
        _margins(answers.merged_logits, answers.target).mean(), before, "margin of the target"
    )


def loss(answers: Answers) -> float:
    """Decrease of the mean cross-entropy in nats (negative: the merge made it worse)."""
    before, after = _of(answers.single, answers.target), _of(answers.merged, answers.target)
    return float(after.mean() - before.mean())


def accuracy(answers: Answers) -> float:
    """Accuracy after the merge over the fine-tuned model's."""
    before = (answers.own == answers.target).double().mean()
    after = (answers.merged_logits.argmax(dim=1) == answers.target).double().mean()
    return _ratio(after, before, "accuracy")


def overlap(answers: Answers) -> float:
    """Mean shared mass Σ_c min(p, pᵢ) of the two predicted distributions, in [0, 1].

    One minus their total variation distance; it looks at all classes, not at one target.
    """
    return float(torch.minimum(answers.merged.exp(), answers.single.exp()).sum(dim=1).mean())


#: Forms asked about a target, in both the labelled and the unlabelled way.
TARGET_FORMS: Mapping[str, Form] = {
    "probability": probability,
    "kept": kept,
    "margin": margin,
    "loss": loss,
    "accuracy": accuracy,
}
#: Form and reference, joined: the names under which values are kept.
FORMS: tuple[str, ...] = (
    *(f"{form}_{kind}" for kind in ("unlabelled", "labelled") for form in TARGET_FORMS),
    "overlap_unlabelled",
)


@dataclass(frozen=True)
class Comparison:
    """All forms of one comparison: values, and why the others have none."""

    values: Mapping[str, float]
    missing: Mapping[str, str]


def compare(merged: Tensor, single: Tensor, labels: Tensor | None = None) -> Comparison:
    """Every form in `FORMS`.

    Parameters
    ----------
    merged, single : logits (n, classes), or (n, L, vocabulary) of a language model.
    labels : (n,) or (n, L), where -100 marks tokens without a label; None without labels.
    """
    vocabulary = merged.shape[-1]
    after, before = merged.reshape(-1, vocabulary).double(), single.reshape(-1, vocabulary).double()
    truth = None if labels is None else labels.reshape(-1)
    if truth is not None:
        labelled = truth != IGNORED
        after, before, truth = after[labelled], before[labelled], truth[labelled]
    for name, logits in (("merged", after), ("fine-tuned", before)):
        if not bool(torch.isfinite(logits).all()):
            return _all_missing(f"the {name} model's output is not finite")
    if not len(after):
        return _all_missing("no sample has a label")
    log_after, log_before = after.log_softmax(dim=1), before.log_softmax(dim=1)
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    for kind, target in (("unlabelled", before.argmax(dim=1)), ("labelled", truth)):
        for name, form in TARGET_FORMS.items():
            key = f"{name}_{kind}"
            if target is None:
                missing[key] = "the samples have no labels"
                continue
            try:
                values[key] = form(Answers(log_after, log_before, after, before, target))
            except UndefinedError as reason:
                missing[key] = str(reason)
    values["overlap_unlabelled"] = overlap(
        Answers(log_after, log_before, after, before, before.argmax(dim=1))
    )
    return Comparison(values, missing)


def mean_of(comparisons: list[Comparison]) -> Comparison:
    """The mean of every form over several draws; missing where it is missing in one."""
    missing = {key: why for found in comparisons for key, why in found.missing.items()}
    values = {
        key: sum(found.values[key] for found in comparisons) / len(comparisons)
        for key in FORMS
        if key not in missing
    }
    return Comparison(values, missing)


def _all_missing(reason: str) -> Comparison:
    return Comparison({}, dict.fromkeys(FORMS, reason))


def _of(log_probabilities: Tensor, target: Tensor) -> Tensor:
    return log_probabilities.gather(1, target[:, None])[:, 0]


def _margins(logits: Tensor, target: Tensor) -> Tensor:
    hot = functional.one_hot(target, logits.shape[1]).bool()
    return _of(logits, target) - logits.masked_fill(hot, -torch.inf).amax(dim=1)


def _ratio(after: Tensor, before: Tensor, what: str) -> float:
    if float(before) <= _TOO_FEW:
        raise UndefinedError(
            "retention", f"the fine-tuned model's mean {what} is {float(before):.3g}"
        )
    return float(after / before)
