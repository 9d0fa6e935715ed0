"""Pair probes: the merge itself, evaluated on the few calibration samples.

The most expensive evidence, one merge and two evaluations a pair and method, and the yardstick
for everything cheaper.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations, product
from math import comb

from mergecast.evidence.kind import Step, one_of_each_shape
from mergecast.evidence.readings import Key, Readings
from mergecast.evidence.retention.batchnorm import BATCHNORM
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.retention.merges import answer, merge_parameter, readings_of
from mergecast.evidence.retention.together import PROBE, together
from mergecast.evidence.session import Session
from mergecast.evidence.side_by_side import Unit, all_of

#: Whether statistics are measured anew is a setting: what is kept of a merge depends on it.
STAGE = PROBE.with_uses(BATCHNORM)


def collect(session: Session) -> Readings:
    """Merge every pair by every method: (model, partner, method, form) to value."""
    pairs, methods = list(combinations(sorted(session.family.names), 2)), session.methods
    merges = list(product(pairs, methods))
    units = [Unit(together, one) for one in merges]
    found = all_of(session, units, session.progress.stage("pair probes", len(units)))
    comparisons: dict[Key, Comparison] = {}
    for ((left, right), method), both in zip(merges, found, strict=True):
        comparisons[left, right, method] = both[left]
        comparisons[right, left, method] = both[right]
    return readings_of(comparisons, session)


def steps(session: Session) -> Iterator[Step]:
    """Of one pair the merge of each shape by every method, and the answers of one member."""
    members = sorted(session.family.names)[:2]
    merges = comb(session.family.size, 2) * len(session.methods)
    for method in session.methods if merges else ():
        for name, count in one_of_each_shape(session.family).items():
            run = partial(merge_parameter, session, members, method, name)
            yield Step(run, merges / len(session.methods) * count)
    state = session.state(members[0])
    yield Step(lambda: answer(session, members[0], state), 2 * merges, forward=1)
