"""How much of a model's behaviour survives: forms of comparison on the same few samples.

Every form compares logits after a merge with the fine-tuned model's own. *Labelled* forms ask
about the true class; *unlabelled* forms take the fine-tuned model's prediction for it, so that
they need no labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING

from mergecast.errors import UndefinedError
from mergecast.evidence.retention.form_values import (
    Answers,
    accuracy,
    beliefs,
    expected,
    kept,
    loss,
    margin,
    matched,
    overlap,
    probability,
)
from mergecast.evidence.retention.judges import Judge
from mergecast.evidence.retention.logits import (
    Logits,
    at_confidence,
    confidence_of,
    likeliest,
    margins,
    need_two_classes,
    of_target,
    ratio_of,
)
from mergecast.runtime.stage import Stage

if TYPE_CHECKING:
    from torch import Tensor

    from mergecast.tasks.scores import ScoreName


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
    unchanged : float or None
        Its value where a merge changes nothing; None where that depends on the model.
    """

    function: Callable[[Answers], float]
    range: tuple[float, float]
    words: str
    targets: bool = True
    scrambled: bool = False
    unchanged: float | None = 1.0

    def in_words(self, way: str) -> str:
        """What it is in one of the ways of asking."""
        target, judges = WAYS[way]
        return self.words.format(target=target, judges=judges)


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
        unchanged=None,
    ),
    "margin": Form(margin, (-inf, inf), "mean margin of the {target}, over the fine-tuned model's"),
    "loss": Form(
        loss,
        (-inf, inf),
        "decrease of the mean cross-entropy of the {target}, nats",
        unchanged=0.0,
    ),
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


_NOT_FINITE = "output is not finite; look for NaN in its samples and its head"


@dataclass(frozen=True)
class Comparison:
    """All forms of one comparison: finite values by key, and why the others have none."""

    values: Mapping[str, float]
    missing: Mapping[str, str]


#: The forms that features are compared in: 1 for the same direction, 0 for an orthogonal one.
_OF_FEATURES = ("overlap_unlabelled", "matched_unlabelled", "expected_unlabelled")


def compare_features(merged: Tensor, single: Tensor) -> Comparison:
    """Of features (n, d) the forms that need no true classes: the mean cosine in all of them."""
    from torch.nn import functional

    cosines = functional.cosine_similarity(merged.double(), single.double(), dim=-1)
    if not len(cosines):
        return all_missing("there is no sample")
    if not bool(single.isfinite().all()):
        return all_missing(f"the fine-tuned model's own {_NOT_FINITE}")
    if not bool(cosines.isfinite().all()):
        return all_missing("the merged model's features are not finite")
    missing = {key: "features have no classes" for key, *_ in ways() if key not in _OF_FEATURES}
    return Comparison(dict.fromkeys(_OF_FEATURES, float(cosines.clamp(0, 1).mean())), missing)


class Reference:
    """A fine-tuned model's own answers, which those of merges are compared with.

    Parameters
    ----------
    single : Tensor
        Logits (n, classes), or (n, L, vocabulary) of a language model.
    labels : Tensor or None
        (n,) or (n, L), where -100 marks tokens without a label; None without labels.
    tokens : Tensor or None
        (n, L), False where a sequence is padded; what labels do not say already.
    score : str or Judge
        What the task is judged by, by name; or, of rows that were chosen before, its judge.
    """

    def __init__(
        self,
        single: Tensor,
        labels: Tensor | None = None,
        tokens: Tensor | None = None,
        score: ScoreName | Judge | None = "accuracy",
    ) -> None:
        from mergecast.tasks.scores import IGNORED

        truth = None if labels is None else labels.reshape(-1)
        self._there: Tensor | None = None
        if truth is not None:
            self._there = truth != IGNORED
            truth = truth[self._there]
        elif tokens is not None and single.dim() == 3:
            self._there = tokens.reshape(-1)
        self.single = Logits(self._rows(single), "fine-tuned")
        if isinstance(score, str):
            rows = None if self._there is None else self._there.nonzero()[:, 0]
            score = Judge.of(score, single, rows)
        self._judge = score
        self.targets = {"unlabelled": self.single.first, "labelled": truth}

    def _rows(self, logits: Tensor) -> Tensor:
        rows = logits.reshape(-1, logits.shape[-1]).double()
        return rows if self._there is None else rows[self._there]

    def compare(self, merged: Tensor) -> Comparison:
        """Every form in `FORMS` of a merge's logits, of the shape of the model's own."""
        after = Logits(self._rows(merged), "merged")
        # The model's own first: where it has none, no merge is to blame.
        if not bool(self.single.values.isfinite().all()):
            return all_missing(f"the {self.single.model} model's own {_NOT_FINITE}")
        if not bool(after.values.isfinite().all()):
            return all_missing(f"the {after.model} model's output is not finite")
        if not len(after.values):
            return all_missing("no sample has a label")
        values: dict[str, float] = {}
        missing: dict[str, str] = {}
        for key, way, form in ways():
            target = self.targets[way]
            if target is None:
                missing[key] = "the samples have no labels"
                continue
            try:
                asked = Answers(after, self.single, target, way == "labelled", self._judge)
                value = form.function(asked)
            except UndefinedError as reason:
                missing[key] = str(reason)
                continue
            if isfinite(value):
                values[key] = value
            else:  # what is stored, and all that reads it, takes a number for defined
                missing[key] = f"retention: comes to {value}, which is no finite number"
        return Comparison(values, missing)


def compare(
    merged: Tensor,
    single: Tensor,
    labels: Tensor | None = None,
    tokens: Tensor | None = None,
    score: ScoreName = "accuracy",
) -> Comparison:
    """Every form in `FORMS` of one merge; arguments as of `Reference`."""
    return Reference(single, labels, tokens, score).compare(merged)


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
    helpers: list[Callable[..., object]] = [of_target, margins, ratio_of, likeliest, beliefs]
    helpers.append(need_two_classes)
    levels: list[Callable[..., object]] = [at_confidence, confidence_of, Reference, Logits, Judge]
    return [*forms, compare, compare_features, mean_of, *helpers, *levels]


#: What comparisons are made by: a form that is edited counts at once.
STAGE = Stage(
    "forms",
    6,
    modules=tuple(
        f"mergecast.evidence.retention.{name}"
        for name in ("forms", "form_values", "judges", "logits")
    ),
    functions=_functions,
)
