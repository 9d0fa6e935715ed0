"""What few samples leave open of a forecast, beyond what its intervals were calibrated on.

Intervals come from the errors of forecasts of a hundred samples a task. A handful tells less, and
where all of a handful are right a forecast says that nothing is lost: it would be surest where it
has looked least.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy.special import ndtri

from mergecast.tables.pairs import FEW_SAMPLES, PairTable
from mergecast.typing import Floats

#: Samples of every task that intervals were calibrated on.
USUAL = 100
#: With fewer, a forecast says so.
WARNED = 50
#: A merge and a member's own model disagree about what is lost, and about so much more.
DISAGREE = 0.05


@dataclass(frozen=True)
class FewSamples:
    """The models that were asked fewer samples than usual.

    Attributes
    ----------
    counts : mapping of str to int
        Label to the number of its samples.
    """

    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: PairTable) -> Self:
        """Those of a pair table, as its recipe says."""
        counts: dict[str, int] = {}
        for recipe in pairs.recipe.get("runs", [pairs.recipe]):
            for label, count in recipe.get(FEW_SAMPLES, {}).items():
                counts[label] = min(int(count), counts.get(label, USUAL))
        return cls(counts)

    def variance(self, numbers: Floats, members: Sequence[str]) -> Floats:
        """Of what each member keeps, beyond that of as many samples as usual, (n,).

        Parameters
        ----------
        numbers : (n,) array
            What the members are forecast to keep.
        members : sequence of str
            Their labels.
        """
        counts = np.array([self.counts.get(label, USUAL) for label in members], dtype="float64")
        lost = np.abs(1 - numbers)
        return np.maximum(_variance(lost, counts) - _variance(lost, np.full_like(counts, USUAL)), 0)

    def of_mean(self, number: float, members: Sequence[str]) -> float:
        """The same of the mean over a set's members."""
        each = self.variance(np.full(len(members), number), members)
        return float(each.sum()) / len(members) ** 2

    def said(self, labels: Iterable[str]) -> str:
        """A warning about some models, empty where none was asked too few."""
        few = {one: self.counts[one] for one in labels if self.counts.get(one, USUAL) < WARNED}
        if not few:
            return ""
        listed = ", ".join(f"{label} {count}" for label, count in few.items())
        return (
            f"few samples to forecast from ({listed}): intervals are as wide as so few leave them; "
            f"give {USUAL} of each task"
        )


def widened(half: Floats, variance: Floats | float, level: float) -> Floats:
    """Half widths with the variance of few samples beside what they are of, (n,)."""
    return np.hypot(half, ndtri((1 + level) / 2) * np.sqrt(variance))


def _variance(lost: Floats, counts: Floats) -> Floats:
    """Of a mean over so many samples; a share of none in a handful is not taken for none."""
    share = (counts * np.minimum(lost, 1) + 1) / (counts + 2)
    return np.asarray((share + DISAGREE) / counts)
