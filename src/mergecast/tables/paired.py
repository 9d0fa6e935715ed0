"""Two models on the same samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mergecast.typing import Floats


def retention_stderr(merged: Sequence[float] | Floats, single: Sequence[float] | Floats) -> float:
    """Standard error of a retention Σm / Σs, from the scores of the same n samples.

    A ratio of two means over paired samples, by the delta method: with residuals
    d = m - retention · s its variance is Σ d² / (n (n - 1) s̄²) (Cochran, 'Sampling Techniques',
    3rd ed. 1977, section 6.4). Both models answer the same samples, so that what is hard for both
    is no error. Where they answer all of them alike it is 0: no difference was seen, which among
    few samples says little.

    Parameters
    ----------
    merged, single : sequence of float or array
        Scores (n,), in one order.

    Returns
    -------
    float
        NaN for fewer than two samples, no scores, or a single score of 0.

    Examples
    --------
    >>> round(retention_stderr([1, 1, 0, 1], [1, 1, 1, 1]), 3)
    0.25
    """
    together, alone = (np.asarray(scores, dtype=np.float64) for scores in (merged, single))
    n = len(together)
    if n < 2 or len(alone) != n or alone.mean() <= 0:
        return float("nan")
    residuals = together - together.mean() / alone.mean() * alone
    return float(residuals.std(ddof=1) / np.sqrt(n) / alone.mean())
