"""Pair probes: the merge itself, evaluated on the few calibration samples.

The most expensive evidence, one merge and two evaluations a pair and method, and the yardstick
for everything cheaper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from mergecast.family.family import Family
from mergecast.fingerprints.forms import Comparison
from mergecast.fingerprints.retention import Bench, ProbeSettings, value_of
from mergecast.merging.method import METHODS
from mergecast.tasks.task import Task

Progress = Callable[[int, int], None]


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
    family: Family,
    tasks: Mapping[str, Task],
    *,
    methods: Sequence[str] | None = None,
    settings: ProbeSettings | None = None,
    progress: Progress | None = None,
) -> PairProbes:
    """Merge every pair by every method and evaluate both members.

    Parameters
    ----------
    family : base and models.
    tasks : label to task.
    methods : names in `METHODS`; all by default.
    settings : defaults are those of `ProbeSettings`.
    progress : called with (merges probed, merges).
    """
    names = list(METHODS.names()) if methods is None else list(methods)
    bench = Bench(family, tasks, settings or ProbeSettings())
    pairs = list(combinations(sorted(family.names), 2))
    found: dict[tuple[str, str, str], Comparison] = {}
    for done, (left, right) in enumerate(pairs):
        for number, method in enumerate(names, start=1):
            both = bench.together((left, right), method)
            found[left, method, right] = both[left]
            found[right, method, left] = both[right]
            if progress:
                progress(done * len(names) + number, len(pairs) * len(names))
    return PairProbes(family.names, found, bench.batchnorm, tuple(names))
