"""Pair probes: how the first model of a pair fares in the merge itself, on a few samples.

Keys are ``probe_<form>_<reference>_<method>``, forms as in `mergecast.pairmetrics.retention`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from mergecast.pairmetrics.retention import BUILT_IN_METHODS, forms
from mergecast.pairmetrics.spec import metric


class HasProbes(Protocol):
    """Evidence of an ordered pair that holds pair probes."""

    @property
    def labels(self) -> tuple[str, str]:
        """The model affected, and its partner."""

    @property
    def probes(self) -> Any:
        """`mergecast.fingerprints.pairprobe.PairProbes`."""


def register_probe(method: str) -> None:
    """Register every probe metric of a merging method; done for the built-in ones."""
    for form, reference, bounds, _tier, words in forms():
        metric(
            f"probe_{form}_{reference}_{method}",
            family="probe",
            tier="probe",
            symmetric=False,
            range=bounds,
            source=f"mergecast: the merge on task i's calibration samples; {words}",
            sets=("probe",),
            evidence="probe",
            method=method,
        )(_reader(method, f"{form}_{reference}"))


def _reader(method: str, form: str) -> Callable[[HasProbes], float]:
    def read(pair: HasProbes) -> float:
        """The value of the pair's first model beside its second."""
        return float(pair.probes.value(*pair.labels, method, form))

    return read


for _method in BUILT_IN_METHODS:
    register_probe(_method)
