"""Which sample lies in which split: decided by what it is, so that no task tests on another's data.

A sample's split follows from the hash of its group (its text, or what it was drawn from), not from
its task: what one task is trained on no other is tested on, also where two tasks ask different
things of the same texts. Samples of one group stay together.

Where fewer samples are wanted than a split has, they are drawn one by one, not group by group: a
hundred pictures of ten letters tell of ten letters only, whatever their standard error says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mergecast.runtime.seeds import derived_seed

if TYPE_CHECKING:
    from mergecast.tasks.task import Split
    from mergecast.typing import Array, Floats

#: Shares of all groups that are for testing and for calibration; the rest is for training.
TEST, CALIBRATION = 0.25, 0.08


def split_rows(
    groups: Sequence[str], sizes: Mapping[Split, int], seed: int, *, whole_groups: bool = False
) -> dict[Split, Array]:
    """Rows of each split, in an order of their hashes.

    Parameters
    ----------
    groups : sequence of str
        One name a sample.
    sizes : mapping of str to int
        The most samples of ``train``, ``calibration`` and ``test``.
    seed : int
        Of the hashes.
    whole_groups : bool
        Take one group after the other, as early runs did. Where every sample is a group of its own
        it is the same.

    Returns
    -------
    dict
        Split to (n,) int64.
    """
    places = np.array([derived_seed(seed, "group", group) for group in groups], dtype=np.float64)
    places /= float(2**63)
    edges = np.array([0.0, TEST, TEST + CALIBRATION, 1.0])
    of = np.searchsorted(edges[1:-1], places, side="right")
    if not whole_groups:
        places = _one_by_one(groups, places, edges[of], edges[of + 1], seed)
    names: tuple[Split, ...] = ("test", "calibration", "train")
    found: dict[Split, Array] = {}
    for number, split in enumerate(names):
        rows = np.flatnonzero(of == number)
        found[split] = rows[np.argsort(places[rows], kind="stable")][: sizes[split]]
    return found


def _one_by_one(
    groups: Sequence[str], places: Floats, low: Floats, high: Floats, seed: int
) -> Floats:
    """Places of samples, (n,): the first of a group stays, others lie anywhere in their split."""
    seen: Counter[str] = Counter()
    own = places.copy()
    for row, group in enumerate(groups):
        if number := seen[group]:
            share = derived_seed(seed, "sample", group, number) / float(2**63)
            own[row] = low[row] + share * (high[row] - low[row])
        seen[group] += 1
    return own
