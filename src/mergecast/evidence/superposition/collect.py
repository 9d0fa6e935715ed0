"""Collecting shifts: every two models' average on both tasks' samples, N² forward passes.

Each unit is kept by itself, so that another model costs its averages with the others. Merges of one
model alone are those of the retention probes, and the few pairs that are merged by every method
those of the pair probes, made once for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import combinations, permutations

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
    PROBE,
    RETENTION,
    alone_answers,
    answer,
    merge_parameter,
    readings_of,
    together,
)
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.checked import checked_pairs, corrected
from mergecast.evidence.superposition.shifts import HALF, Shifts
from mergecast.merging.decompositions import Decompositions, remembered
from mergecast.runtime.stage import Stage
from mergecast.tasks.probe import FORWARD

SHIFTS = Stage(
    "shifts",
    2,
    uses=(FORWARD, ANSWERS),
    modules=("mergecast.evidence.superposition.collect",),
)
STAGE = Stage(
    "superposition",
    3,
    uses=(SHIFTS, RETENTION.with_uses(BATCHNORM), PROBE, forms.STAGE),
    modules=tuple(f"mergecast.evidence.superposition.{name}" for name in ("shifts", "checked")),
)
#: What stands for a partner in the key of what is known of the base.
BASE = "base"


def collect(session: Session) -> Readings:
    """Every pair by every method, and the base: (model, partner, method, form) to value."""
    names = sorted(session.family.names)
    kept = {label: own_answers(session, label)[0] for label in names}
    shifts = gather(session, kept)
    pairs = checked_pairs(names)
    advance = session.progress.stage("checked pairs", len(pairs) * len(session.methods))
    judges = {task: _judge(session, shifts, kept, task) for task in names}
    comparisons: dict[Key, Comparison] = {
        (task, BASE): judges[task](shifts.base[task]) for task in names
    }
    for method in session.methods:
        superposed: dict[Key, Comparison] = {}
        for task, partner in permutations(names, 2):
            try:
                merged = shifts.of_pair(task, partner, method)
            except UndefinedError as reason:
                superposed[task, partner, method] = forms.all_missing(str(reason))
            else:
                superposed[task, partner, method] = judges[task](merged)
        real: dict[Key, Comparison] = {}
        for left, right in pairs:
            both = together(session, (left, right), method)
            real |= {(left, right, method): both[left], (right, left, method): both[right]}
            advance(1)
        comparisons |= corrected(superposed, real)
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
    weights = cache(partial(half_way, session))
    for task in names:
        base[task] = _answers(session, None, task, kept[task], weights)
        advance(1)
    for label in names:
        weights = cache(partial(half_way, session, label))
        half[label, label] = _answers(session, label, label, kept[label], weights) - base[label]
        advance(1)
    for pair in combinations(names, 2):
        weights = cache(partial(half_way, session, *pair))
        for task, label in (pair, pair[::-1]):
            answers = _answers(session, label, task, kept[task], weights)
            half[label, task] = answers - base[task] - half[task, task]
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
    pairs = checked_pairs(session.family.names)
    with remembered(Decompositions()):
        for method in session.methods:
            for name, count in one_of_each_shape(session.family).items():
                run = partial(merge_parameter, session, [member], method, name, "base")
                yield Step(run, n * count, memory=held_by_a_merge(session.family))
            for name, count in one_of_each_shape(session.family).items() if pairs else ():
                run = partial(merge_parameter, session, pairs[0], method, name)
                yield Step(run, len(pairs) * count)
    alone = n + 2 * len(pairs)
    yield Step(
        lambda: answer(session, member, session.state(member)),
        alone * len(session.methods),
        forward=1,
    )


def half_way(session: Session, *labels: str) -> dict[str, Tensor]:
    """θ₀ and τ/2 of some models: what the family shares, floats in float32 or float64."""
    family = session.family
    if not labels:
        return {
            name: to_tensor(family.base.floats(name).reshape(family.base.info(name).shape))
            for name in family.shared
        }
    return {
        block.name: to_tensor(
            (block.base + HALF * sum(map(block.delta, range(len(labels))))).reshape(block.shape)
        )
        for block in family.subset(sorted(labels)).blocks()
    }


def _answers(
    session: Session,
    label: str | None,
    task: str,
    kept: Kept,
    weights: Callable[[], dict[str, Tensor]],
) -> Tensor:
    """What is kept of the answers to a task's samples of the base, or of halves of models.

    Those are a half of the task's own model, and of another where `label` is another.
    """
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


def _judge(
    session: Session, shifts: Shifts, kept: Mapping[str, Kept], task: str
) -> Callable[[Tensor], Comparison]:
    """What says how much of a model's own answers to its task's samples others keep."""
    outputs = session.task(task).outputs
    if outputs == "features":
        return lambda merged: forms.compare_features(merged, shifts.single[task])
    if outputs == "values":
        return lambda _: forms.all_missing("a regression has no classes")
    judge = kept[task].judge(session.task(task).score_name)
    return forms.Reference(shifts.single[task], kept[task].labels, score=judge).compare
