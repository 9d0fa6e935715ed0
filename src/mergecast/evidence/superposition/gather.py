"""Making shifts: every two models' average and sum on both tasks' samples, and each on others'.

That is about 3 N² forward passes of N models. Each unit is kept by itself, so that another model
costs its averages with the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import combinations

from torch import Tensor

from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import UndefinedError
from mergecast.evidence.retention.answers import STAGE as ANSWERS
from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.retention.batchnorm import BATCHNORM
from mergecast.evidence.retention.merges import alone_answers, answer
from mergecast.evidence.session import Session
from mergecast.evidence.side_by_side import Unit, all_of
from mergecast.evidence.superposition.shifts import HALF, WHOLE, Shifts
from mergecast.merging.decompositions import Decompositions, remembered
from mergecast.runtime.stage import Stage
from mergecast.tasks.probe import FORWARD

SHIFTS = Stage(
    "shifts",
    2,
    uses=(FORWARD, ANSWERS),
    modules=("mergecast.evidence.superposition.gather",),
)


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
