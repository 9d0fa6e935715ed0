"""How much of a model's behaviour survives: forms of comparison on the same few samples.

Every form compares logits after a merge with the fine-tuned model's own. *Labelled* forms ask
about the true class; *unlabelled* forms take the fine-tuned model's prediction for it, so that
they need no labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
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
from mergecast.runtime.stage import Stage

if TYPE_CHECKING:
    from torch import Tensor


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


@dataclass(frozen=True)
class Form:
    """A form of comparison.

    Attributes
    ----------
    function : callable
        Answers to the value; raises UndefinedError where there is none.
    range : tuple of float
        The smallest and largest value possible.
    words : str
        What it is, with ``{target}`` for the class asked about and ``{judges}`` for what says
        which answers are right.
    targets : bool
        Whether it asks about a class, so that it has a labelled and an unlabelled way.
    scrambled : bool
        Whether it is worth the merges with scrambled stand-ins.
    """

    function: Callable[[Answers], float]
    range: tuple[float, float]
    words: str
    targets: bool = True
    scrambled: bool = False

    def in_words(self, way: str) -> str:
        """What it is in one of the ways of asking."""
        target, judges = WAYS[way]
        return self.words.format(target=target, judges=judges)


#: Fine-tuned models are right on so many samples, as far as is known without looking; and how
#: decided a model's answers are made when they are judged. Both chosen on eight families: six
#: small suites of digits and MiniLM classifiers, `digits-14` and `text-15` on MiniLM-L3.
_TYPICAL, _DECIDED = 0.8, 0.95
#: With so many labelled samples labels count as much as a half of what the model believes.
_LABELS = 200


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


#: All forms, by name.
FORMS: dict[str, Form] = {
    "probability": Form(
        probability,
        (0, inf),
        "mean probability of the {target}, over the fine-tuned model's",
        scrambled=True,
    ),
    "kept": Form(
        kept,
        (0, 1),
        "mean probability of the {target} where the fine-tuned model predicts it",
        scrambled=True,
    ),
    "margin": Form(margin, (-inf, inf), "mean margin of the {target}, over the fine-tuned model's"),
    "loss": Form(loss, (-inf, inf), "decrease of the mean cross-entropy of the {target}, nats"),
    "accuracy": Form(
        accuracy,
        (0, inf),
        "share of samples where the {target} comes first, over the fine-tuned model's",
    ),
    "overlap": Form(
        overlap,
        (0, 1),
        "mean mass shared by the predicted distributions and the fine-tuned model's",
        targets=False,
        scrambled=True,
    ),
    "matched": Form(
        matched,
        (0, inf),
        "mean of the shared mass and of the {target}'s probability over the fine-tuned model's, "
        "both models at the same mean confidence",
        scrambled=True,
    ),
    "expected": Form(
        expected,
        (0, inf),
        "expected accuracy by the {judges}, over that of the fine-tuned model's answers",
        scrambled=True,
    ),
}
#: By the way of asking, the class asked about and what says which answers are right.
WAYS = {
    "unlabelled": ("fine-tuned model's prediction", "fine-tuned model's beliefs"),
    "labelled": ("true class", "true class and the fine-tuned model's beliefs"),
}


def ways() -> Iterator[tuple[str, str, Form]]:
    """Every form in every way of asking: its key, the way, and the form."""
    for way in WAYS:
        for name, form in FORMS.items():
            if form.targets or way == "unlabelled":
                yield f"{name}_{way}", way, form


@dataclass(frozen=True)
class Comparison:
    """All forms of one comparison: values by key, and why the others have none."""

    values: Mapping[str, float]
    missing: Mapping[str, str]


#: The forms that features are compared in: 1 for the same direction, 0 for an orthogonal one.
_OF_FEATURES = ("overlap_unlabelled", "matched_unlabelled", "expected_unlabelled")


def compare_features(merged: Tensor, single: Tensor) -> Comparison:
    """Of features (n, d) the forms that need no true classes: the mean cosine in all of them."""
    from torch.nn import functional

    cosines = functional.cosine_similarity(merged.double(), single.double(), dim=-1)
    if not bool(cosines.isfinite().all()):
        return all_missing("a model's features are not finite")
    missing = {key: "features have no classes" for key, *_ in ways() if key not in _OF_FEATURES}
    return Comparison(dict.fromkeys(_OF_FEATURES, float(cosines.clamp(0, 1).mean())), missing)


def compare(
    merged: Tensor,
    single: Tensor,
    labels: Tensor | None = None,
    tokens: Tensor | None = None,
) -> Comparison:
    """Every form in `FORMS`.

    Parameters
    ----------
    merged, single : Tensor
        Logits (n, classes), or (n, L, vocabulary) of a language model.
    labels : Tensor or None
        (n,) or (n, L), where -100 marks tokens without a label; None without labels.
    tokens : Tensor or None
        (n, L), False where a sequence is padded; what labels do not say already.
    """
    from mergecast.tasks.scores import IGNORED

    vocabulary = merged.shape[-1]
    after, before = merged.reshape(-1, vocabulary).double(), single.reshape(-1, vocabulary).double()
    truth = None if labels is None else labels.reshape(-1)
    if truth is not None:
        labelled = truth != IGNORED
        after, before, truth = after[labelled], before[labelled], truth[labelled]
    elif tokens is not None and merged.dim() == 3:
        there = tokens.reshape(-1)
        after, before = after[there], before[there]
    for name, logits in (("merged", after), ("fine-tuned", before)):
        if not bool(logits.isfinite().all()):
            return all_missing(f"the {name} model's output is not finite")
    if not len(after):
        return all_missing("no sample has a label")
    log_after, log_before = after.log_softmax(dim=1), before.log_softmax(dim=1)
    targets = {"unlabelled": before.argmax(dim=1), "labelled": truth}
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    for key, way, form in ways():
        target = targets[way]
        if target is None:
            missing[key] = "the samples have no labels"
            continue
        try:
            values[key] = form.function(
                Answers(log_after, log_before, after, before, target, way == "labelled")
            )
        except UndefinedError as reason:
            missing[key] = str(reason)
    return Comparison(values, missing)


def mean_of(comparisons: Sequence[Comparison]) -> Comparison:
    """The mean of every form over several draws; missing where it is missing in one."""
    missing = {key: why for one in comparisons for key, why in one.missing.items()}
    values = {
        key: sum(one.values[key] for one in comparisons) / len(comparisons)
        for key, *_ in ways()
        if key not in missing
    }
    return Comparison(values, missing)


def all_missing(reason: str) -> Comparison:
    """No form has a value, all for one reason."""
    return Comparison({}, {key: reason for key, *_ in ways()})


def _functions() -> list[Callable[..., object]]:
    forms = [form.function for form in FORMS.values()]
    helpers: list[Callable[..., object]] = [of_target, margins, ratio_of, likeliest]
    levels: list[Callable[..., object]] = [at_confidence, confidence_of]
    return [*forms, compare, compare_features, mean_of, *helpers, *levels]


#: What comparisons are made by: a form that is edited counts at once.
STAGE = Stage(
    "forms",
    4,
    modules=("mergecast.evidence.retention.forms", "mergecast.evidence.retention.logits"),
    functions=_functions,
)
