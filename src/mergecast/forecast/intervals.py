"""Intervals from absolute out-of-fold residuals, by the finite-sample conformal rank."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from mergecast.typing import Floats

LEVEL = 0.9
LEAST_LOSS = 0.1
"""What an interval is wide for where the forecast says that nothing is lost.

Errors grow with what is lost: intervals of one width are too narrow in families that lose much and
too wide in others. Chosen on eight families, of which 0.05 to 0.2 serve all alike.
"""
LEAST_APART = 0.05
"""The same where a forecast rests on two sources, which says how far they lie apart.

What spreads have to be multiplied by to hold nine tenths then differs between six suites by a
factor of 1.8 with labels and 2.1 without them; by 2.0 both with `LEAST_LOSS` and no distance. When
it was chosen these were 1.5, 1.7 and 1.8.
"""
BETWEEN = 1.5
"""By how much intervals of another kind of models are wider than those of new models of the same.

So wide, those of `digits-14` hold nine tenths in the mean over families of other seeds, other
training and other models (`docs/unseen.md`).
"""


def spread(
    predicted: Floats, least: float | None = LEAST_LOSS, apart: Floats | None = None
) -> Floats:
    """What residuals are divided by, (n,): what a forecast says is lost, and `least` more.

    Beside it, by how much the forecast's sources lie apart (`StoredModel.apart`). All 1 for a
    `least` of None.
    """
    if least is None:
        return np.ones_like(predicted)
    return least + np.abs(1.0 - predicted) + (0.0 if apart is None else apart)


def conformal_half_width(
    residuals: Sequence[float] | Floats,
    level: float,
    owners: Sequence[str] | npt.NDArray[np.str_] | None = None,
) -> float:
    """Half the width of an interval that a new, exchangeable residual falls in with `level`.

    The ⌈(n + 1) level⌉-th smallest of the n absolute residuals; infinite where n is too small for
    the level (9 residuals are the least for 90 %). Split conformal prediction, Lei et al. 2018,
    section 2.2.

    Residuals of pairs that share a task are not exchangeable with those of new tasks: n counts
    members, and the number of independent tasks behind them is smaller. The rank is therefore
    nominal; coverage on unseen tasks is what `evaluate` measures under ``l2to``.

    Parameters
    ----------
    residuals : array-like of shape (n,)
        Signs do not matter.
    level : float
        Between 0 and 1.
    owners : sequence of str, optional
        Whose each residual is. Those of a new owner may be as large as the largest known owner's,
        so that the widest of their own half widths is taken; at least that of all together, where
        each owner counts alike, however many its residuals are (weighted conformal prediction,
        Tibshirani et al. 2019). Owners with too few residuals have none of their own.
    """
    values = np.abs(np.asarray(residuals, dtype=np.float64))
    if owners is not None:
        named = np.asarray(owners)
        own = [conformal_half_width(values[named == one], level) for one in np.unique(named)]
        return max([half_width_alike(values, level, named), *filter(math.isfinite, own)])
    values = np.sort(values)
    # The product is rounded before ceil: 10 * 0.9 must be 9, not 9.000000000000002.
    rank = math.ceil(round((len(values) + 1) * level, 9))
    return float(values[rank - 1]) if rank <= len(values) else math.inf


def half_width_alike(values: Floats, level: float, owners: npt.NDArray[np.str_]) -> float:
    """The same of absolute residuals, (n,), all together, each owner counting alike."""
    _, codes, counts = np.unique(owners, return_inverse=True, return_counts=True)
    order = np.argsort(values, kind="stable")
    share = np.cumsum(1 / (counts[codes] * len(counts))[order])
    # The new residual counts as much as the mean of the others.
    reached = share * len(values) / (len(values) + 1) >= level - 1e-12
    return float(values[order][reached.argmax()]) if reached.any() else math.inf


def add_intervals(predictions: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Out-of-fold predictions with `lower` and `upper`, each from folds that share no task with it.

    `predictions` as `out_of_fold` returns under ``l2to``. The half width of a row comes from the
    residuals, over their `spread`, of all pairs that touch neither of its tasks: the row's own
    residual, and those of its models' other merges, take no part. (The models behind those
    residuals may have been fitted with it, as any forecaster's are.) Bounds end at 0 and at 1, or
    the most that a member of those pairs kept, whichever is more.
    """
    width = spread(predictions["predicted"].clip(lower=0.0).to_numpy(dtype="float64"))
    residual = (predictions["predicted"] - predictions["measured"]).abs().to_numpy() / width
    pairs = predictions[["left", "right"]].to_numpy(dtype=str)
    touches = {task: (pairs == task).any(axis=1) for task in np.unique(pairs)}
    measured = predictions["measured"].to_numpy(dtype="float64")
    widths: dict[tuple[str, str], float] = {}
    most: dict[tuple[str, str], float] = {}
    for left, right in map(tuple, np.unique(pairs, axis=0)):
        apart = ~(touches[left] | touches[right])
        widths[left, right] = conformal_half_width(residual[apart], level)
        most[left, right] = float(measured[apart].max(initial=1.0))
    half = np.array([widths[left, right] for left, right in pairs]) * width
    ceiling = np.array([most[left, right] for left, right in pairs])
    centre = predictions["predicted"].clip(lower=0.0)
    return predictions.assign(
        lower=(centre - half).clip(0.0, ceiling), upper=(centre + half).clip(0.0, ceiling)
    )
