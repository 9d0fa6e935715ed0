"""Retention probes: what a model loses alone when a method treats it as if it had partners.

For method M and n members, θ = θ₀ + M(τᵢ, s, …, s), with stand-ins s for the partners
(`mergecast.merging.stand_ins`): copies of the base, as if the partners' task vectors were zero, or
scrambled copies of τᵢ. The model there and the fine-tuned one answer task i's own calibration
samples. N · methods · (1 + draws) merges of one model and as many forward passes, no pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from mergecast.evidence.kind import Step
from mergecast.evidence.readings import Readings
from mergecast.evidence.retention.batchnorm import BATCHNORM
from mergecast.evidence.retention.merges import RETENTION, alone, one_draw, readings_of
from mergecast.evidence.session import Session
from mergecast.merging.decompositions import Decompositions, remembered

#: Whether statistics are measured anew is a setting: what is kept of a merge depends on it.
STAGE = RETENTION.with_uses(BATCHNORM)


def collect(session: Session) -> Readings:
    """Probe every model alone, by every method: (model, method, stand-in, form) to value."""
    methods, stand_ins = session.methods, session.merges.partners
    total = session.family.size * len(methods) * len(stand_ins)
    advance = session.progress.stage("retention", total)
    comparisons = {}
    for member in sorted(session.family.names):
        with remembered(Decompositions()):
            for method in methods:
                for stand_in in stand_ins:
                    key = (member, method, stand_in)
                    comparisons[key] = alone(session, *key)
                    advance(1)
    return readings_of(comparisons, session)


def steps(session: Session) -> Iterator[Step]:
    """One model's own answers, then one merge of it by every method and with every stand-in."""
    n, member = session.family.size, min(session.family.names)
    yield Step(lambda: session.logits(member), n, forward=1)
    with remembered(Decompositions()):
        for method in session.methods:
            for stand_in in session.merges.partners:
                draws = 1 if stand_in == "base" else session.merges.draws
                run = partial(one_draw, session, member, method, stand_in)
                yield Step(run, n * draws, forward=1)
