"""Pair probes: the merge itself, evaluated on the few calibration samples.

The most expensive evidence, one merge and two evaluations a pair and method, and the yardstick
for everything cheaper.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations

from mergecast.evidence.kind import Step
from mergecast.evidence.readings import Readings
from mergecast.evidence.retention.batchnorm import BATCHNORM
from mergecast.evidence.retention.merges import PROBE, readings_of, together
from mergecast.evidence.session import Session

#: Whether statistics are measured anew is a setting: what is kept of a merge depends on it.
STAGE = PROBE.with_uses(BATCHNORM)


def collect(session: Session) -> Readings:
    """Merge every pair by every method: (model, partner, method, form) to value."""
    pairs, methods = list(combinations(sorted(session.family.names), 2)), session.methods
    advance = session.progress.stage("pair probes", len(pairs) * len(methods))
    comparisons = {}
    for left, right in pairs:
        for method in methods:
            both = together(session, (left, right), method)
            comparisons[left, right, method] = both[left]
            comparisons[right, left, method] = both[right]
            advance(1)
    return readings_of(comparisons, session)


def steps(session: Session) -> Iterator[Step]:
    """One merge of one pair by every method, evaluated on the samples of both."""
    names = sorted(session.family.names)
    pairs = len(names) * (len(names) - 1) // 2
    for method in session.methods if pairs else ():
        yield Step(partial(together, session, names[:2], method), pairs, forward=2)
