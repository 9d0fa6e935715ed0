"""What a merge leaves of its models, read from its weights.

A method that elects signs, shares out ranks or averages where models agree leaves less of each
model beside others than of one alone, and how much less shows in the merge itself: its delta is
the models' task vectors, each times a coefficient, and a rest that none of them has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mergecast.family.blocks import BLOCKS
from mergecast.family.family import Family
from mergecast.family.heads import is_statistic
from mergecast.runtime.stage import Stage

if TYPE_CHECKING:
    from torch import Tensor

LEFT = Stage("left in merges", 1, uses=(BLOCKS,), modules=("mergecast.evidence.retention.left",))


def left_in(family: Family, merged: Mapping[str, Tensor]) -> dict[str, float]:
    """The coefficient of every model's task vector in a merge's delta, by least squares.

    An average of k models leaves 1 / k of each, a sum times a strength that strength. Of task
    vectors that depend on each other, as those of equal models, the least coefficients are taken.
    BatchNorm's statistics, which methods average, do not count.

    Parameters
    ----------
    family : Family
        The base and the models that were merged, no others.
    merged : mapping of str to Tensor
        The merge's parameters, those that the family shares among them.
    """
    count = len(family.names)
    gram, products = np.zeros((count, count)), np.zeros(count)
    for block in family.blocks():
        if not is_statistic(block.name):
            start, here = 0, merged[block.name].reshape(-1)
            for base, deltas in block.chunks():
                delta = here[start : start + len(base)].double().numpy(force=True) - base
                vectors = deltas.astype(np.float64)
                gram += vectors @ vectors.T
                products += vectors @ delta
                start += len(base)
    found = np.linalg.lstsq(gram, products, rcond=None)[0]
    return dict(zip(family.names, found.tolist(), strict=True))
