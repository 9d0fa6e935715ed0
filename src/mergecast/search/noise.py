"""Sampling noise of what merges were measured to keep: alike where it is of the same samples.

Every merge is measured on the first samples of its members' tasks, so that a sample that is easy
for one merge is mostly easy for the next. Merges are told apart by far fewer samples than it takes
to know what any of them keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mergecast.search.judge import EXPECTED, Seen
from mergecast.typing import Floats

#: Correlation of two merges' noise on the same samples of a member, before both are measured. In
#: the pairs of six measured suites 0.33 to 0.63 (`benchmarks/search_noise.py`).
ALIKE = 0.5


@dataclass(frozen=True)
class Noise:
    """Of members of merges that were measured, in the order of measurements.

    Attributes
    ----------
    members : (n,) array of str
        Whose samples they are.
    counts : (n,) array
        How many.
    covariance : (n, n) array
        Of the noise. Of different members' samples 0.
    sampled : (n,) array of bool
        Whether samples were measured; not where a single number was given.
    """

    members: npt.NDArray[np.str_]
    counts: Floats
    covariance: Floats
    sampled: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, measured: Sequence[tuple[Sequence[str], Seen]]) -> Noise:
        """From what merges of some members were seen to keep.

        Variances are those of `Seen`, and so are the few samples that what is expected counts as
        (`EXPECTED`): their noise is as much alike as `ALIKE` says.
        """
        members = np.array([x for names, _ in measured for x in names], dtype=np.str_)
        counts = np.array([n for _, seen in measured for n in seen.counts], dtype=np.float64)
        variance = np.array([v for _, seen in measured for v in seen.variance])
        parts = [part for _, seen in measured for part in seen.residuals or [None] * len(seen.kept)]
        sampled = np.array([part is not None for part in parts], dtype=np.bool_)
        covariance = np.diag(variance)
        for member in np.unique(members[sampled]):
            rows = np.flatnonzero((members == member) & sampled)
            n = counts[rows]
            whole = np.zeros((len(rows), int(n.max())))
            for row, place in enumerate(rows):
                part = parts[place]
                assert part is not None
                whole[row, : len(part)] = part
            shared = whole @ whole.T
            told = np.maximum(variance[rows] * n * (n + EXPECTED) - np.diag(shared), 0.0)
            overlap = np.minimum.outer(n, n) / np.maximum.outer(n, n)
            shared += ALIKE * np.sqrt(np.outer(told, told) * overlap)
            shared /= np.sqrt(np.outer(n * (n + EXPECTED), n * (n + EXPECTED)))
            shared[np.diag_indices_from(shared)] = variance[rows]
            covariance[np.ix_(rows, rows)] = shared
        return cls(members, counts, covariance, sampled)

    def ahead(
        self, members: Sequence[str], counts: Floats, each: Floats, slopes: Floats, row: int | None
    ) -> tuple[float, Floats]:
        """Of a further look at a merge: how noisy what it says of the merge's worth will be.

        Parameters
        ----------
        members : sequence of str
            The merge's.
        counts : (k,) array
            Samples of each, those of before among them.
        each : (k,) array
            Variance of one sample's part, where the merge was not measured before.
        slopes : (k,) array
            How what the merge is worth changes with what each member keeps.
        row : int, optional
            The first of the merge's rows, where it was measured before.

        Returns
        -------
        variance : float
            Of the noise.
        beside : (n,) array
            Its covariance with the noise of what was measured.
        """
        own = np.diag(self.covariance) * self.counts
        beside = np.zeros(len(own))
        if row is not None:
            each = own[row : row + len(members)]
        for place, (member, count, slope) in enumerate(zip(members, counts, slopes, strict=True)):
            if row is not None:
                before = np.maximum(self.counts, self.counts[row + place])
                shared = self.covariance[row + place] * before / np.maximum(self.counts, count)
            else:
                shared = ALIKE * np.sqrt(each[place] * own) / np.maximum(self.counts, count)
                shared = np.where((self.members == member) & self.sampled, shared, 0.0)
            beside += slope * shared
        return float(slopes**2 @ (each / counts)), beside
