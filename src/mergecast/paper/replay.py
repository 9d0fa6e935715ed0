"""Apply released coefficients again, to see what they were fitted to and what they predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mergecast.analysis.audit import raw_outcomes
from mergecast.errors import TableError
from mergecast.forecast.validation.scoring import mean_defined, pearson
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
    method : str
    per_fold_r : dict[str, float]
        Target to the mean over folds of r with that target.
    pooled_r : dict[str, float]
        Target to r of all folds' predictions together. Each fold's prediction has its own scale and
        offset, as the released pipeline leaves them.
    target : str or None
        The target whose r agrees with the released one in every fold (to 5e-4).
    worst : float
        The largest difference from the released r over the folds, for the nearer target.
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
    fit : ReleasedFit
        Coefficients of one method.
    pairs : PairTable
        The pairs of the analysis, without missing values.
    outcomes : OutcomeTable
        With that method.

    Raises
    ------
    TableError
        A metric or a held-out task of the fit is not in the tables.
    """
    _check(fit, pairs)
    rows = _rows(pairs, outcomes.keep(outcomes.frame["method"] == fit.method))
    X = rows[list(fit.coefficients.columns)].to_numpy(dtype=float)
    folds = []
    for task, weights in fit.coefficients.iterrows():
        test = ((rows["left"] == task) | (rows["right"] == task)).to_numpy()
        low, high = X[~test].min(axis=0), X[~test].max(axis=0)
        spread = np.where(high > low, high - low, 1.0)
        predicted = (2 * (X[test] - low) / spread - 1) @ weights.to_numpy()
        folds.append(rows.loc[test, [RAW, NORMALIZED]].assign(predicted=predicted))
    fold_r, pooled_r = (
        {target: [_r(table, target) for table in tables] for target in (RAW, NORMALIZED)}
        for tables in (folds, [pd.concat(folds)])
    )
    worst = {
        target: float(np.nanmax(np.abs(np.array(r) - fit.fold_r.to_numpy()), initial=0.0))
        for target, r in fold_r.items()
    }
    nearer = min(worst, key=lambda target: worst[target])
    return Replay(
        fit.method,
        {target: mean_defined(r) for target, r in fold_r.items()},
        {target: r for target, [r] in pooled_r.items()},
        nearer if worst[nearer] <= _EXACT else None,
        worst[nearer],
    )


def _check(fit: ReleasedFit, pairs: PairTable) -> None:
    for key in fit.coefficients.columns:
        if key not in pairs.metrics:
            raise TableError(f"fit of {fit.method}", f"metric {key!r} is not in the pair table")
    for task in fit.coefficients.index:
        if task not in pairs.models:
            raise TableError(f"fit of {fit.method}", f"held-out task {task!r} has no pair")


def _rows(pairs: PairTable, outcomes: OutcomeTable) -> pd.DataFrame:
    """The pairs with both targets."""
    rows = pairs.frame
    for target, table in ((RAW, raw_outcomes(outcomes)), (NORMALIZED, outcomes)):
        means = table.pairs().rename(columns={"retention": target})
        rows = rows.merge(means.drop(columns="method"), on=PAIR_KEYS)
    return rows


def _r(table: pd.DataFrame, target: str) -> float:
    return pearson(table["predicted"].to_numpy(), table[target].to_numpy())
