"""Retention probes: what a model loses alone when a method treats it as if it had partners.

For method M and n members, θ = θ₀ + M(τᵢ, s, …, s), with stand-ins s for the partners
(`mergecast.merging.stand_ins`): copies of the base, as if the partners' task vectors were zero, or
scrambled copies of τᵢ. The model there and the fine-tuned one answer task i's own calibration
samples. N · methods · (1 + draws) merges of one model and as many forward passes, no pairs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from itertools import product

from mergecast.evidence.kind import Step, held_by_a_merge, one_of_each_shape
from mergecast.evidence.readings import Key, Readings
from mergecast.evidence.retention.batchnorm import BATCHNORM
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.retention.merges import (
    RETENTION,
    alone,
    answer,
    merge_parameter,
    readings_of,
)
from mergecast.evidence.session import Session
from mergecast.evidence.side_by_side import Unit, all_of
from mergecast.merging.decompositions import Decompositions, remembered

#: What metrics of merges with scrambled stand-ins begin with.
SCRAMBLED = "retention_scrambled_"
#: Whether statistics are measured anew is a setting: what is kept of a merge depends on it.
STAGE = RETENTION.with_uses(BATCHNORM)


def collect(session: Session) -> Readings:
    """Probe every model alone, by every method: (model, method, stand-in, form) to value."""
    methods, stand_ins = session.methods, stand_ins_of(session, session.keys)
    members = sorted(session.family.names)
    words = list(product(members, stand_ins))
    units = [Unit(_alone, (*both, methods), len(methods)) for both in words]
    advance = session.progress.stage("retention", len(words) * len(methods))
    comparisons: dict[Key, Comparison] = {}
    for found in all_of(session, units, advance):
        comparisons |= found
    return readings_of(comparisons, session)


def _alone(
    session: Session, member: str, stand_in: str, methods: tuple[str, ...]
) -> dict[Key, Comparison]:
    """A model merged with a stand-in by every method."""
    with remembered(Decompositions()):
        return {
            (member, method, stand_in): alone(session, member, method, stand_in)
            for method in methods
        }


def stand_ins_of(session: Session, asked: Collection[str] | None) -> list[str]:
    """The stand-ins that some metric asked for reads, all for None; scrambled ones take several."""
    partners = session.merges.partners
    if asked is None:
        return [*partners]
    read = {"scrambled" if key.startswith(SCRAMBLED) else "base" for key in asked}
    return [one for one in partners if one in read]


def steps(session: Session) -> Iterator[Step]:
    """One model's answers, and by every method and stand-in its merge of each shape."""
    n, member, merges = session.family.size, min(session.family.names), session.merges
    held = held_by_a_merge(session.family)
    draws = {
        one: 1 if one == "base" else merges.draws for one in stand_ins_of(session, session.keys)
    }
    with remembered(Decompositions()):
        for method, stand_in in product(session.methods, draws):
            for name, count in one_of_each_shape(session.family).items():
                run = partial(merge_parameter, session, [member], method, name, stand_in)
                yield Step(run, n * draws[stand_in] * count, memory=held)
    evaluated = n * len(session.methods) * sum(draws.values())
    yield Step(lambda: session.logits(member), n, forward=1)
    yield Step(lambda: answer(session, member, session.state(member)), evaluated, forward=1)
