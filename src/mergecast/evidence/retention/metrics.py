"""Retention of the first model of a pair, alone: what a method costs it whoever the partner is.

Keys are ``retention_<form>_<reference>@<method>``, and ``retention_scrambled_…`` where the
partner's stand-in is a scrambled copy of the model's own task vector instead of zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf

from mergecast.evidence.costs import merge_seconds
from mergecast.evidence.kind import EVIDENCE, EvidenceKind, Request, Work, float32_bytes
from mergecast.evidence.labelled import LabelledEvidence, LabelledPair
from mergecast.evidence.metric import metric
from mergecast.tables.tiers import Tier

#: The built-in merging methods, spelled out so that this room needs no torch.
BUILT_IN_METHODS = (
    "dare",
    "dare_ties",
    "iso_cts",
    "isotropic",
    "slerp",
    "task_arithmetic",
    "ties",
    "tsv",
    "weight_avg",
)
_RANGES: dict[str, tuple[float, float]] = {
    "probability": (0, inf),
    "kept": (0, 1),
    "margin": (-inf, inf),
    "loss": (-inf, inf),
    "accuracy": (0, inf),
    "overlap": (0, 1),
}
_TEXT = {
    "probability": "mean probability of the {target}, over the fine-tuned model's",
    "kept": "mean probability of the {target} where the fine-tuned model predicts it",
    "margin": "mean margin of the {target}, over the fine-tuned model's",
    "loss": "decrease of the mean cross-entropy of the {target}, nats",
    "accuracy": "share of samples where the {target} comes first, over the fine-tuned model's",
    "overlap": "mean mass shared by the predicted distributions and the fine-tuned model's",
}
_TARGETS = {"labelled": "true class", "unlabelled": "fine-tuned model's prediction"}
#: Forms that are worth the scrambled partner's extra merges.
SCRAMBLED_FORMS = ("kept", "probability", "overlap")
_SOURCE = "mergecast: θ₀ + M(τᵢ, s, …, s) on task i's calibration samples; {}; {}"
_STAND_INS = {"base": "s = 0", "scrambled": "s = τᵢ with its inputs shuffled, mean of draws"}


def forms() -> Iterator[tuple[str, str, tuple[float, float], Tier, str]]:
    """Every form and reference: name, reference, range, tier, words."""
    for reference, tier in (("unlabelled", "activations"), ("labelled", "gradients")):
        for form, bounds in _RANGES.items():
            if form != "overlap" or reference == "unlabelled":
                words = _TEXT[form].format(target=_TARGETS[reference])
                yield form, reference, bounds, tier, words  # type: ignore[misc]


def probed_methods(request: Request) -> tuple[str, ...]:
    """The merging methods that are probed: those asked for, or all built-in ones."""
    return request.merges.methods or BUILT_IN_METHODS


def _collect(request: Request) -> LabelledEvidence:
    from mergecast.evidence.retention.collect import collect_retention

    methods = probed_methods(request)
    merges = len(methods) * len(request.merges.partners)
    advance = request.progress.stage("retention", request.family.size * merges)
    return LabelledEvidence(
        collect_retention(request.probed, methods=methods, settings=request.merges, advance=advance)
    )


def _work(request: Request) -> Work:
    """A merge and a pass for every method and stand-in."""
    settings, n = request.merges, request.family.size
    draws = {partner: 1 if partner == "base" else settings.draws for partner in settings.partners}
    methods = probed_methods(request)
    merges = n * len(methods) * sum(draws.values())
    kernels = sum(
        count * merge_seconds(request, method, partner)
        for partner, count in draws.items()
        for method in methods
    )
    return Work(
        forward_passes=n + merges,
        forward_samples=(n + merges) * request.merge_samples,
        loads=n + 2 * merges,
        memory=3 * float32_bytes(request),
        seconds=n * kernels,
    )


# The same passes give both; the labelled kind finds them in the store.
_KINDS = {"unlabelled": "retention", "labelled": "labelled retention"}
EVIDENCE.add("retention", EvidenceKind("retention", "activations", _collect, _work))
EVIDENCE.add("labelled retention", EvidenceKind("labelled retention", "gradients", _collect))


def register_retention(method: str) -> None:
    """Register every retention metric of a merging method; done for the built-in ones."""
    for form, reference, bounds, tier, words in forms():
        for partner, prefix in (("base", "retention"), ("scrambled", "retention_scrambled")):
            if partner == "scrambled" and form not in SCRAMBLED_FORMS:
                continue
            metric(
                f"{prefix}_{form}_{reference}@{method}",
                family="retention",
                tier=tier,
                symmetric=False,
                range=bounds,
                source=_SOURCE.format(_STAND_INS[partner], words),
                sets=("retention",),
                evidence=_KINDS[reference],
                method=method,
            )(_reader(method, f"{form}_{reference}", partner))


def _reader(method: str, form: str, partner: str) -> Callable[[LabelledPair], float]:
    def read(pair: LabelledPair) -> float:
        """The value of the pair's first model."""
        return float(pair.fingerprints.value(pair.labels[0], method, form, partner))

    return read


for _method in BUILT_IN_METHODS:
    register_retention(_method)
