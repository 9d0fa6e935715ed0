"""Every pair by every method as shifts say, corrected by the few pairs that are merged.

Merges of one model alone are those of the retention probes, and the pairs that are merged by every
method those of the pair probes, made once for both. They say what a method leaves of two models
beside each other, how much of a partner's shift shows, and how far off that is then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import permutations

from torch import Tensor

from mergecast.evidence.kind import Step, held_by_a_merge, one_of_each_shape
from mergecast.evidence.readings import Key, Readings
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.answers import Kept, own_answers
from mergecast.evidence.retention.batchnorm import BATCHNORM
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.retention.left import LEFT
from mergecast.evidence.retention.merges import RETENTION, answer, merge_parameter, readings_of
from mergecast.evidence.retention.together import PROBE
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.checks import checked_pairs, real_merges, said_lost
from mergecast.evidence.superposition.corrections import corrected
from mergecast.evidence.superposition.gather import SHIFTS, gather, part_way
from mergecast.evidence.superposition.kinds import CHANGED, Kinds, kinds_of
from mergecast.evidence.superposition.lefts import Lefts
from mergecast.evidence.superposition.pair_shifts import PairShifts
from mergecast.evidence.superposition.shifts import HALF, Left, Shifts
from mergecast.merging.decompositions import Decompositions, remembered
from mergecast.runtime.stage import Stage

STAGE = Stage(
    "superposition",
    9,
    uses=(SHIFTS, CHANGED, RETENTION.with_uses(BATCHNORM), PROBE, LEFT, forms.STAGE),
    modules=tuple(
        f"mergecast.evidence.superposition.{name}"
        for name in (
            "shifts",
            "checks",
            "corrections",
            "lefts",
            "losses",
            "pair_shifts",
            "shares",
        )
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
    kinds = kinds_of(session)
    alone = PairShifts(shifts, judges, Lefts.of(session, kinds, {}, Left()))
    pairs = checked_pairs(kinds, _lost(alone, kinds, session.methods))
    merges, told = real_merges(session, pairs, "checked pairs")
    beside = replace(alone, lefts=Lefts.of(session, kinds, told, Left()))
    comparisons: dict[Key, Comparison] = {
        (task, BASE): judges[task](shifts.base[task]) for task in names
    }
    for method in session.methods:
        real: dict[Key, Comparison] = {}
        for left, right in pairs:
            both = merges[(left, right), method]
            real |= {(left, right, method): both[left], (right, left, method): both[right]}
        found = beside.kept(permutations(names, 2), method, beside.share(real, method))
        comparisons |= corrected(found, real, kinds)
    return readings_of(comparisons, session)


def _lost(alone: PairShifts, kinds: Kinds, methods: Sequence[str]) -> dict[tuple[str, str], float]:
    """What pairs lose, by which those to be merged are chosen where models are of several kinds."""
    if len({*kinds.values()}) == 1:
        return {}
    names = sorted(kinds)
    return said_lost({one: alone.kept(permutations(names, 2), one) for one in methods}, names)


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
