"""Collecting shifts: every two models' average and sum on both tasks' samples, and each on others'.

That is about 3 N² forward passes of N models.

Each unit is kept by itself, so that another model costs its averages with the others. Merges of one
model alone are those of the retention probes, and the few pairs that are merged by every method
those of the pair probes, made once for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import combinations, permutations, product

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
from mergecast.evidence.retention.together import PROBE, together
from mergecast.evidence.session import Session
from mergecast.evidence.side_by_side import Unit, all_of
from mergecast.evidence.superposition.checks import checked_pairs, said_lost
from mergecast.evidence.superposition.corrections import corrected
from mergecast.evidence.superposition.kinds import CHANGED, kinds_of
from mergecast.evidence.superposition.shifts import HALF, WHOLE, Shifts
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
    7,
    uses=(SHIFTS, CHANGED, RETENTION.with_uses(BATCHNORM), PROBE, forms.STAGE),
    modules=tuple(
        f"mergecast.evidence.superposition.{name}" for name in ("shifts", "checks", "corrections")
    ),
)
#: What stands for a partner in the key of what is known of the base.
BASE = "base"


def collect(session: Session) -> Readings:
    """Every pair by every method, and the base: (model, partner, method, form) to value."""
    names = sorted(session.family.names)
    kept = {label: own_answers(session, label)[0] for label in names}
    shifts = gather(session)
    judges = {task: _judge(session, shifts, kept, task) for task in names}
    superposed = {method: superposed_pairs(shifts, judges, method) for method in session.methods}
    kinds = kinds_of(session)
    pairs = checked_pairs(kinds, said_lost(superposed, names))
    merged_pairs = real_merges(session, pairs, "checked pairs")
    comparisons: dict[Key, Comparison] = {
        (task, BASE): judges[task](shifts.base[task]) for task in names
    }
    for method, found in superposed.items():
        real: dict[Key, Comparison] = {}
        for left, right in pairs:
            both = merged_pairs[(left, right), method]
            real |= {(left, right, method): both[left], (right, left, method): both[right]}
        comparisons |= corrected(found, real, kinds)
    return readings_of(comparisons, session)


def superposed_pairs(
    shifts: Shifts, judges: Mapping[str, Callable[[Tensor], Comparison]], method: str
) -> dict[Key, Comparison]:
    """Every pair's members by one method, as shifts say.

    Parameters
    ----------
    shifts : Shifts
        Of all models.
    judges : mapping of str to callable
        Label to what compares a merge's answers, (r, k), with its model's own.
    method : str
        One that models were merged alone by.
    """
    found: dict[Key, Comparison] = {}
    for task, partner in permutations(judges, 2):
        try:
            merged = shifts.of_pair(task, partner, method)
        except UndefinedError as reason:
            found[task, partner, method] = forms.all_missing(str(reason))
        else:
            found[task, partner, method] = judges[task](merged)
    return found


def gather(session: Session, methods: Sequence[str] | None = None) -> Shifts:
    """All that superposition takes, computed where the store does not hold it.

    `methods` are those that every model is merged alone by, the session's by default. Where there
    are none, shifts at whole task vectors and from the base are left out: only methods read them.
    """
    names = sorted(session.family.names)
    methods = session.methods if methods is None else methods
    pairs = list(combinations(names, 2))
    single = {task: own_answers(session, task)[1].double() for task in names}
    shares = (HALF, WHOLE) if methods else (HALF,)
    units = [Unit(_answers_at_half, (task, None)) for task in names]
    units += [Unit(_answers_at_half, (task, task)) for task in names]
    units += [Unit(_pair_answers, (share, *pair), 2) for share in shares for pair in pairs]
    units += [Unit(_lone_answers, (label,), len(names) - 1) for label in names if methods]
    units += [Unit(_alone_answers, (task, tuple(methods)), len(methods)) for task in names]
    advance = session.progress.stage("superposition", sum(unit.steps for unit in units))
    made = iter(all_of(session, units, advance))
    base = {task: next(made) for task in names}
    half = {(x, x): next(made) - base[x] for x in names}
    for _ in pairs:
        for (task, label), answers in next(made).items():
            half[label, task] = answers - base[task] - half[task, task]
    whole: dict[tuple[str, str], Tensor] = {}
    for _ in pairs if WHOLE in shares else ():
        for (task, label), answers in next(made).items():
            whole[label, task] = answers - single[task]
    lone: dict[tuple[str, str], Tensor] = {}
    for label in names if methods else ():
        lone |= {(label, task): answers - base[task] for task, answers in next(made).items()}
    alone, missing = dict[tuple[str, str], Tensor](), dict[tuple[str, str], str]()
    for task in names:
        for method, found in next(made).items():
            if isinstance(found, str):
                missing[task, method] = found
            else:
                alone[task, method] = found
    return Shifts(base, single, half, whole, lone, alone, missing)


def real_merges(
    session: Session, sets: Sequence[tuple[str, ...]], name: str
) -> dict[tuple[tuple[str, ...], str], dict[str, Comparison]]:
    """The real merges of some sets by every method: (set, method) to what each member keeps."""
    merges = list(product(sets, session.methods))
    units = [Unit(together, one) for one in merges]
    found = all_of(session, units, session.progress.stage(name, len(units)))
    return dict(zip(merges, found, strict=True))


def _answers_at_half(session: Session, task: str, label: str | None) -> Tensor:
    """Answers to a task's samples of the base, or of half the task's own model, (r, k)."""
    labels = () if label is None else (label,)
    weights = cache(partial(part_way, session, HALF, *labels))
    return _answers(session, label, task, HALF, weights)


def _pair_answers(session: Session, share: float, *pair: str) -> dict[tuple[str, str], Tensor]:
    """Answers of a share of two models to both tasks' samples, by task and the other model."""
    weights = cache(partial(part_way, session, share, *pair))
    return {
        (task, label): _answers(session, label, task, share, weights)
        for task, label in (pair, pair[::-1])
    }


def _lone_answers(session: Session, label: str) -> dict[str, Tensor]:
    """Answers of half a model to every other task's samples, by task."""
    weights = cache(partial(part_way, session, HALF, label))
    return {
        task: _answers(session, label, task, HALF, weights, lone=True)
        for task in sorted(session.family.names)
        if task != label
    }


def _alone_answers(
    session: Session, task: str, methods: tuple[str, ...]
) -> dict[str, Tensor | str]:
    """Answers of a model merged alone by some methods, or why there are none."""
    found: dict[str, Tensor | str] = {}
    with remembered(Decompositions()):
        for method in methods:
            try:
                found[method] = alone_answers(session, task, method).double()
            except UndefinedError as reason:
                found[method] = reason.problem
    return found


def steps(session: Session) -> Iterator[Step]:
    """Half a model's answers, and what it is merged alone by every method."""
    n, member = session.family.size, min(session.family.names)
    yield Step(lambda: session.logits(member), n, forward=1)
    half = partial(part_way, session, HALF, member)
    yield Step(lambda: answer(session, member, half()), 3 * n * n - n, forward=1)
    # Kinds, and what shifts say, are not known before.
    pairs = checked_pairs(dict.fromkeys(session.family.names, member), {})
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


def part_way(session: Session, share: float, *labels: str) -> dict[str, Tensor]:
    """θ₀ and a share of some models' τ: what the family shares, floats in float32 or float64."""
    family = session.family
    if not labels:
        return {
            name: to_tensor(family.base.floats(name).reshape(family.base.info(name).shape))
            for name in family.shared
        }
    return {
        block.name: to_tensor(
            (block.base + share * sum(map(block.delta, range(len(labels))))).reshape(block.shape)
        )
        for block in family.subset(sorted(labels)).blocks()
    }


def _answers(
    session: Session,
    label: str | None,
    task: str,
    share: float,
    weights: Callable[[], dict[str, Tensor]],
    *,
    lone: bool = False,
) -> Tensor:
    """What is kept of the answers to a task's samples of the base, or of a share of models.

    Those are the task's own model, and another where `label` is another; that one alone, where it
    is lone.
    """
    kept, anew = own_answers(session, task)[0], session.merges.reestimate_batchnorm
    spec = session.spec(
        SHIFTS.with_uses(BATCHNORM) if anew else SHIFTS,
        task,
        session.merge_samples(task),
        base=session.base_digest,
        other=None if label is None else session.digest(label),
        shared=list(session.family.shared),
        batchnorm=anew,
        strength=share,
        **({"lone": True} if lone else {}),
    )

    def compute() -> tuple[dict[str, Tensor], dict[str, object]]:
        if label is None and not anew:  # which other evidence asks for too
            return {"answers": kept.of(session.base_logits(task))}, {}
        beside = () if label is None else (label,)
        return {"answers": kept.of(answer(session, task, weights(), beside))}, {}

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
