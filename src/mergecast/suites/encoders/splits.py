"""Which sample lies in which split: decided by what it is, so that no task tests on another's data.

A sample's split follows from the hash of its group (its text, or what it was drawn from), not from
its task: what one task is trained on no other is tested on, also where two tasks ask different
things of the same texts. Samples of one group stay together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mergecast.runtime.seeds import derived_seed
from mergecast.tasks.task import Split
from mergecast.typing import Array

#: Shares of all groups that are for testing and for calibration; the rest is for training.
TEST, CALIBRATION = 0.25, 0.08


def split_rows(groups: Sequence[str], sizes: Mapping[Split, int], seed: int) -> dict[Split, Array]:
    """Rows of each split, in an order of their hashes.

    Parameters
    ----------
    groups : sequence of str
        One name a sample.
    sizes : mapping of str to int
        The most samples of ``train``, ``calibration`` and ``test``.
    seed : int
        Of the hashes.

    Returns
    -------
    dict
        Split to (n,) int64.
    """
    places = np.array([derived_seed(seed, "group", group) for group in groups], dtype=np.float64)
    places /= float(2**63)
    order = np.argsort(places, kind="stable")
    cuts = np.searchsorted(places[order], [TEST, TEST + CALIBRATION])
    test, calibration, train = np.split(order, cuts)
    parts: dict[Split, Array] = {"train": train, "calibration": calibration, "test": test}
    return {split: rows[: sizes[split]] for split, rows in parts.items()}
