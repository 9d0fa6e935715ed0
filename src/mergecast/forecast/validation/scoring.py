"""The numbers of a validation, from out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from mergecast.typing import Floats

# Correlation of fewer pairs is undefined, or ±1.
MIN_PAIRS = 3


def paired_predictions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Member rows to pairs: DataFrame[fold, suite, left, right, predicted, measured]."""
    keys = ["fold", "suite", "left", "right"]
    return predictions.groupby(keys, sort=False)[["predicted", "measured"]].mean().reset_index()


def scores(predictions: pd.DataFrame) -> dict[str, Any]:
    """The numbers of one (method, predictor), from its out-of-fold predictions (member rows).

    A pair's prediction and outcome are the means over its two members. Note that the mean of the
    *training* pairs falls when good pairs are held out: a constant predictor's pooled r is
    negative by construction.
    """
    paired = paired_predictions(predictions)
    predicted, measured = paired["predicted"].to_numpy(), paired["measured"].to_numpy()
    folds = list(paired.groupby("fold", sort=False).indices.values())
    fold_r = [pearson(predicted[rows], measured[rows]) for rows in folds]
    fold_rho = [spearman(predicted[rows], measured[rows]) for rows in folds]
    total = np.nan if is_constant(measured) else float(((measured - measured.mean()) ** 2).sum())
    numbers: dict[str, Any] = {
        "per_fold_r": mean_defined(fold_r),
        "per_fold_rho": mean_defined(fold_rho),
        "pooled_r": pearson(predicted, measured),
        "mae": float(np.abs(predicted - measured).mean()),
        "r2": 1 - float(((predicted - measured) ** 2).sum()) / total,
        "n_pairs": len(paired[["suite", "left", "right"]].drop_duplicates()),
        "n_folds": len(fold_r),
        "n_undefined_folds": int(np.isnan(fold_r).sum()),
    }
    if "lower" in predictions:
        inside = predictions["measured"].between(predictions["lower"], predictions["upper"])
        numbers["coverage"] = float(inside.mean())
    return numbers


def fold_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """Each fold by itself: DataFrame[fold, n_pairs, r, rho, mae], pairs as in `scores`.

    r and ρ are NaN in a fold of fewer than three pairs, or where a side is constant.
    """
    paired = paired_predictions(predictions)
    rows = []
    for fold, table in paired.groupby("fold", sort=False):
        x, y = table["predicted"].to_numpy(), table["measured"].to_numpy()
        numbers = {"r": pearson(x, y), "rho": spearman(x, y), "mae": float(np.abs(x - y).mean())}
        rows.append({"fold": fold, "n_pairs": len(table), **numbers})
    return pd.DataFrame(rows, columns=["fold", "n_pairs", "r", "rho", "mae"])


def pearson(x: Floats, y: Floats) -> float:
    """Pearson's r; NaN where it is undefined: fewer than three values, or a constant side."""
    if len(x) < MIN_PAIRS:
        return float("nan")
    dx, dy = x - x.mean(), y - y.mean()
    if is_constant(x) or is_constant(y):
        return float("nan")
    return float(np.clip(dx @ dy / np.sqrt((dx @ dx) * (dy @ dy)), -1.0, 1.0))


def is_constant(values: Floats) -> bool:
    """Whether values differ by no more than rounding; what that leaves is no variation."""
    return bool(np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())))


def spearman(x: Floats, y: Floats) -> float:
    """Spearman's ρ, ties by their mean rank; NaN where Pearson's r is."""
    return float("nan") if np.isnan(pearson(x, y)) else pearson(rankdata(x), rankdata(y))


def mean_defined(values: Sequence[float]) -> float:
    """The mean of the values that are no NaN; NaN where none is."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else np.nan
