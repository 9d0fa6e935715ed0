"""Pairs out of member rows: the unit of the paper's fits, which know no directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mergecast.forecast.rows import IDENTITY

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


def pair_codes(X: Any, n: int) -> Codes:
    """Which pair each of n rows belongs to, (n,), counted from 0 in sorted order.

    From the identity columns where X has them; otherwise each row is a pair of its own.
    """
    if not isinstance(X, pd.DataFrame) or not set(IDENTITY) <= set(X.columns):
        return np.arange(n)
    member, partner = X["member"].to_numpy(dtype=str), X["partner"].to_numpy(dtype=str)
    swap = member > partner
    first, second = np.where(swap, partner, member), np.where(swap, member, partner)
    frame = pd.DataFrame({"suite": X["suite"].to_numpy(dtype=str), "left": first, "right": second})
    return np.asarray(frame.groupby(["suite", "left", "right"], sort=True).ngroup(), dtype=np.intp)


def mean_by_code(values: Floats, codes: Codes) -> Floats:
    """Mean of the rows of each code: (n,) to (n_codes,), (n, p) to (n_codes, p)."""
    count = np.bincount(codes)
    if values.ndim == 1:
        return np.asarray(np.bincount(codes, weights=values) / count)
    sums = np.zeros((len(count), values.shape[1]))
    np.add.at(sums, codes, values)
    return np.asarray(sums / count[:, None])
