"""Collecting shifts: every model at half strength on every task's samples, N² forward passes.

Each unit is kept by itself, so that another model costs its own samples under the others and
itself on theirs. Merges of one model alone are those of the retention probes, made once for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

from torch import Tensor

from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import UndefinedError
from mergecast.evidence.kind import Step, held_by_a_merge, one_of_each_shape
from mergecast.evidence.readings import Key, Readings
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.answers import STAGE as ANSWERS
from mergecast.evidence.retention.answers import Kept, own_answers
from mergecast.evidence.retention.batchnorm import BATCHNORM
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.retention.merges import (
    RETENTION,
    alone_answers,
    answer,
    merge_parameter,
    readings_of,
)
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.shifts import HALF, Shifts
from mergecast.merging.decompositions import Decompositions, remembered
from mergecast.runtime.stage import Stage
from mergecast.tasks.probe import FORWARD

SHIFTS = Stage(
    "shifts",
    1,
    uses=(FORWARD, ANSWERS),
    modules=("mergecast.evidence.superposition.collect",),
)
STAGE = Stage(
    "superposition",
    1,
    uses=(SHIFTS, RETENTION.with_uses(BATCHNORM), forms.STAGE),
    modules=("mergecast.evidence.superposition.shifts",),
)
#: What stands for a partner in the key of what is known of the base.
BASE = "base"


def collect(session: Session) -> Readings:
    """Every pair by every method, and the base: (model, partner, method, form) to value."""
    names = sorted(session.family.names)
    kept = {label: own_answers(session, label)[0] for label in names}
    shifts = gather(session, kept)
    comparisons: dict[Key, Comparison] = {}
    for task in names:
        outputs = session.task(task).outputs
        reference = shifts.single[task], kept[task].labels, outputs
        comparisons[task, BASE] = _compare(shifts.base[task], *reference)
        for partner in names:
            for method in session.methods if partner != task else ():
                try:
                    merged = shifts.of_pair(task, partner, method)
                except UndefinedError as reason:
                    comparison = forms.all_missing(str(reason))
                else:
                    comparison = _compare(merged, *reference)
                comparisons[task, partner, method] = comparison
    return readings_of(comparisons, session)


def gather(session: Session, kept: dict[str, Kept], methods: Sequence[str] | None = None) -> Shifts:
    """All that superposition takes, computed where the store does not hold it.

    `methods` are those that every model is merged alone by, the session's by default.
    """
    names = sorted(session.family.names)
    methods = session.methods if methods is None else methods
    total = len(names) * (len(names) + 1 + len(methods))
    advance = session.progress.stage("superposition", total)
    base, single, half, alone = {}, {}, {}, {}
    missing: dict[tuple[str, str], str] = {}
    for task in names:
        single[task] = own_answers(session, task)[1].double()
    weights = cache(partial(half_way, session, None))
    for task in names:
        base[task] = _answers(session, None, task, kept[task], weights)
        advance(1)
    for label in names:
        weights = cache(partial(half_way, session, label))
        for task in names:
            answers = _answers(session, label, task, kept[task], weights)
            half[label, task] = answers - base[task]
            advance(1)
    for task in names:
        with remembered(Decompositions()):
            for method in methods:
                try:
                    alone[task, method] = alone_answers(session, task, method).double()
                except UndefinedError as reason:
                    missing[task, method] = reason.problem
                advance(1)
    return Shifts(base, single, half, alone, missing)


def steps(session: Session) -> Iterator[Step]:
    """Half a model's answers, and what it is merged alone by every method."""
    n, member = session.family.size, min(session.family.names)
    yield Step(lambda: session.logits(member), n, forward=1)
    yield Step(lambda: answer(session, member, half_way(session, member)), n * (n + 1), forward=1)
    with remembered(Decompositions()):
        for method in session.methods:
            for name, count in one_of_each_shape(session.family).items():
                run = partial(merge_parameter, session, [member], method, name, "base")
                yield Step(run, n * count, memory=held_by_a_merge(session.family))
    yield Step(
        lambda: answer(session, member, session.state(member)),
        n * len(session.methods),
        forward=1,
    )


def half_way(session: Session, label: str | None) -> dict[str, Tensor]:
    """θ₀ + τ/2 of a model, or the base: what the family shares, floats in float32 or float64."""
    family = session.family
    if label is None:
        return {
            name: to_tensor(family.base.floats(name).reshape(family.base.info(name).shape))
            for name in family.shared
        }
    return {
        block.name: to_tensor((block.base + HALF * block.delta(0)).reshape(block.shape))
        for block in family.subset([label]).blocks()
    }


def _answers(
    session: Session,
    label: str | None,
    task: str,
    kept: Kept,
    weights: Callable[[], dict[str, Tensor]],
) -> Tensor:
    """What is kept of the answers to a task's samples of half a model, or of the base."""
    anew = session.merges.reestimate_batchnorm
    spec = session.spec(
        SHIFTS.with_uses(BATCHNORM) if anew else SHIFTS,
        task,
        session.merge_samples(task),
        base=session.base_digest,
        other=None if label is None else session.digest(label),
        shared=list(session.family.shared),
        batchnorm=anew,
        strength=HALF,
    )

    def compute() -> tuple[dict[str, Tensor], dict[str, object]]:
        if label is None and not anew:  # which other evidence asks for too
            return {"answers": kept.of(session.base_logits(task))}, {}
        return {"answers": kept.of(answer(session, task, weights()))}, {}

    file, _ = session.file_unit(spec, "shifts", compute)
    return to_tensor(file.array("answers")).double()


def _compare(merged: Tensor, single: Tensor, labels: Tensor | None, outputs: str) -> Comparison:
    if outputs == "features":
        return forms.compare_features(merged, single)
    if outputs == "values":
        return forms.all_missing("a regression has no classes")
    return forms.compare(merged, single, labels)
