"""Apply released coefficients again, to see what they were fitted to and what they predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mergecast.analysis.audit import raw_outcomes
from mergecast.errors import TableError
from mergecast.forecast.validation.scoring import pearson
from mergecast.paper.fits import ReleasedFit
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PAIR_KEYS, PairTable

RAW, NORMALIZED = "raw", "normalized"

# Coefficients are float32 and scores are sums of 28 products: agreement is to about 1e-7.
_EXACT = 5e-4


@dataclass(frozen=True)
class Replay:
    """What the released coefficients of one method give on the released tables.

    Attributes
    ----------
    per_fold_r : target to the mean over folds of r with that target.
    pooled_r : target to r of all folds' predictions together. Each fold's prediction has its own
        scale and offset, as the released pipeline leaves them.
    target : the target whose r agrees with the released one in every fold (to 5e-4), or None.
    worst : the largest difference from the released r over the folds, for the nearer target.
    """

    method: str
    per_fold_r: dict[str, float]
    pooled_r: dict[str, float]
    target: str | None
    worst: float


def replay(fit: ReleasedFit, pairs: PairTable, outcomes: OutcomeTable) -> Replay:
    """Predict each held-out task's pairs by Xw, X scaled to [-1, 1] on the fold's training pairs.

    Parameters
    ----------
    fit : released coefficients of one method.
    pairs : the pairs of the analysis, without missing values.
    outcomes : outcome table with that method.

    Raises
    ------
    TableError
        A metric or a held-out task of the fit is not in the tables.
    """
    keys = list(fit.coefficients.columns)
    absent = [key for key in keys if key not in pairs.metrics]
    if absent:
        raise TableError(f"fit of {fit.method}", f"metric {absent[0]!r} is not in the pair table")
    unknown = sorted(set(fit.coefficients.index) - set(pairs.models))
    if unknown:
        raise TableError(f"fit of {fit.method}", f"held-out task {unknown[0]!r} has no pair")
    mine = outcomes.keep(outcomes.frame["method"] == fit.method)
    joined = pairs.frame
    for target, table in ((RAW, raw_outcomes(mine)), (NORMALIZED, mine)):
        means = table.pairs().rename(columns={"retention": target})
        joined = joined.merge(means.drop(columns="method"), on=PAIR_KEYS)
    X = joined[keys].to_numpy(dtype=float)
    predicted, measured = [], []
    found: dict[str, list[float]] = {RAW: [], NORMALIZED: []}
    for task, weights in fit.coefficients.iterrows():
        test = ((joined["left"] == task) | (joined["right"] == task)).to_numpy()
        low, high = X[~test].min(axis=0), X[~test].max(axis=0)
        spread = np.where(high > low, high - low, 1.0)
        prediction = (2 * (X[test] - low) / spread - 1) @ weights.to_numpy()
        predicted.append(prediction)
        measured.append(joined.loc[test, [RAW, NORMALIZED]])
        for target, values in found.items():
            values.append(pearson(prediction, joined.loc[test, target].to_numpy()))
    pooled = pd.concat(measured)
    everything = np.concatenate(predicted)
    worst = {
        target: float(np.nanmax(np.abs(np.array(values) - fit.fold_r.to_numpy()), initial=0.0))
        for target, values in found.items()
    }
    nearer = min(worst, key=lambda target: worst[target])
    return Replay(
        fit.method,
        {target: _mean(values) for target, values in found.items()},
        {target: pearson(everything, pooled[target].to_numpy()) for target in found},
        nearer if worst[nearer] <= _EXACT else None,
        worst[nearer],
    )


def _mean(values: list[float]) -> float:
    """The mean over the folds where r is defined; NaN where none is."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else np.nan
