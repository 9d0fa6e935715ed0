"""Pair probes: the merge itself, evaluated on the few calibration samples.

The most expensive evidence, one merge and two evaluations a pair and method, and the yardstick
for everything cheaper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from mergecast.evidence.retention.collect import Advance, MergeBench, value_of
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.session import ProbedFamily
from mergecast.evidence.settings import MergeSettings
from mergecast.merging.method import METHODS


@dataclass(frozen=True)
class PairProbes:
    """Merges of all pairs on each member's own samples.

    Attributes
    ----------
    members : labels of the models.
    found : (member, method, partner's label) to all forms.
    batchnorm : what was done about running statistics, in words.
    methods : merging methods probed.
    """

    members: tuple[str, ...]
    found: Mapping[tuple[str, str, str], Comparison]
    batchnorm: str
    methods: tuple[str, ...]

    def value(self, member: str, partner: str, method: str, form: str) -> float:
        """How `member` fares beside `partner`; UndefinedError with the reason if it is missing."""
        return value_of(self.found, (member, method, partner), form)


def collect_pair_probes(
    probed: ProbedFamily,
    *,
    methods: Sequence[str] | None = None,
    settings: MergeSettings | None = None,
    advance: Advance | None = None,
) -> PairProbes:
    """Merge every pair by every method and evaluate both members; finished units are kept.

    Parameters
    ----------
    probed : the family and its tasks.
    methods : names in `METHODS`; all by default.
    settings : defaults are those of `MergeSettings`; pairs are always two models.
    advance : called with 1 for each merge probed, ``N (N - 1) / 2 · methods`` in all.
    """
    names = list(METHODS.names()) if methods is None else list(methods)
    bench = MergeBench(probed, settings or MergeSettings())
    found: dict[tuple[str, str, str], Comparison] = {}
    for left, right in combinations(sorted(probed.family.names), 2):
        for method in names:
            both = bench.together((left, right), method)
            found[left, method, right] = both[left]
            found[right, method, left] = both[right]
            if advance:
                advance(1)
    return PairProbes(probed.family.names, found, bench.batchnorm, tuple(names))
