"""Measuring what members of a merge keep on growing samples, beside their own models on the same.

A judge answers for the search: real merges of real models, a scorer of the user's, or, in
benchmarks, merges that were all measured before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtri

from mergecast.errors import UndefinedError
from mergecast.forecast.few_samples import DISAGREE
from mergecast.search.candidates import Candidate
from mergecast.typing import Floats

#: Samples that the expected variance counts as, against what was seen of it.
EXPECTED = 5
#: Samples a member of the first look at a merge; every further look doubles them.
FIRST = 50


@dataclass(frozen=True)
class Seen:
    """What a merge was measured to keep so far.

    Attributes
    ----------
    kept, variance : (k,) array
        Of every member: the estimate and the variance of its sampling noise.
    counts : tuple of int
        Samples of every member that it rests on.
    residuals : tuple of (n,) array
        Of every member: each sample's part in how far off the estimate is, whose mean is 0. Empty
        where single numbers were given instead of samples.
    """

    kept: Floats
    variance: Floats
    counts: tuple[int, ...]
    residuals: tuple[Floats, ...] = ()

    @property
    def samples(self) -> int:
        """How many samples a member were asked for: a task that has fewer gives what it has."""
        return max(self.counts)

    @classmethod
    def of(cls, merged: Sequence[Floats], single: Sequence[Floats]) -> Seen:
        """From scores of every member's samples, of the merge and of its own model, (n,) each.

        Raises UndefinedError where a model's own score on them is 0: there is nothing to keep.
        """
        kept, variance = np.empty(len(merged)), np.empty(len(merged))
        residuals = []
        for row, (m, s) in enumerate(zip(merged, single, strict=True)):
            share, n = s.mean(), len(m)
            if not share > 0:
                raise UndefinedError(
                    "what is kept", f"a model's own score on {n} samples of its task is {share:g}"
                )
            kept[row] = m.mean() / share
            # The ratio of two means over paired samples, see `retention_stderr`.
            off = (m - kept[row] * s) / share
            expected = float(expected_variance(kept[row : row + 1], np.array([share]))[0])
            spread = (off @ off + EXPECTED * expected) / (n + EXPECTED)
            variance[row] = spread / n
            residuals.append(off)
        return cls(kept, variance, tuple(map(len, merged)), tuple(residuals))

    def interval(self, level: float) -> tuple[Floats, Floats]:
        """Both ends, (k,) each, of what sampling leaves open."""
        half = half_width(level) * np.sqrt(self.variance)
        return np.maximum(self.kept - half, 0.0), self.kept + half


def half_width(level: float) -> float:
    """Standard deviations from the middle of a normal distribution to the ends of an interval."""
    return float(ndtri((1 + level) / 2))


def expected_variance(kept: Floats, single: Floats) -> Floats:
    """Of one sample's part in what a member keeps, before it is measured, (k,).

    A merge and its member's own model disagree about what is lost, and some more (`DISAGREE`).
    """
    return np.asarray((np.abs(1 - kept) + DISAGREE) / np.maximum(single, 0.05))


def levels(size: int) -> tuple[int, ...]:
    """Numbers of samples a member that a merge is measured on, one look after the other."""
    found = [FIRST * 2**power for power in range(20) if FIRST * 2**power < size]
    return (*found, size)


class Judge(Protocol):
    """What a search asks for measurements."""

    @property
    def at_once(self) -> int:
        """Merges that are measured side by side."""

    def levels(self, candidate: Candidate) -> Sequence[int]:
        """Numbers of samples a member, smallest first; the last is all that any of them has."""

    def counts(self, candidate: Candidate, samples: int) -> Floats:
        """Samples of each member where so many are asked for, (k,)."""

    def variance(self, candidate: Candidate, kept: Floats) -> Floats:
        """Of one sample's part in what each member is seen to keep, before it is measured, (k,)."""

    def cost(self, candidate: Candidate, first: int, last: int) -> float:
        """Of going from so many samples a member to more, in passes; alike on every machine."""

    def see(self, asked: Sequence[tuple[Candidate, int]]) -> Sequence[Seen | str]:
        """Measure merges on that many samples a member, those of before among them; or why a merge
        cannot be made, which it never is then."""
