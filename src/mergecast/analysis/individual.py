"""Each metric by itself against the outcome, with significance that a table of pairs can bear.

Pairs that share a model are not independent, so the textbook p-value of a correlation over pairs is
too small. Beside it stands the p-value of Mantel's test, which permutes *models*: under its null
the outcome matrix belongs to a random relabelling of the models. Both are corrected for the number
of metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from mergecast.analysis.variance import keyed_metrics
from mergecast.errors import TableError
from mergecast.forecast.validation.scoring import pearson
from mergecast.runtime.seeds import derived_seed
from mergecast.tables.outcomes import OutcomesLike, as_outcomes
from mergecast.tables.pairs import PAIR_KEYS, PairsLike, as_pairs
from mergecast.typing import Floats

N_PERMUTATIONS = 999


def individual_correlations(
    pairs: PairsLike,
    outcomes: OutcomesLike,
    methods: Sequence[str] | None = None,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Correlation of each metric with the mean retention of a pair, by merging method.

    Parameters
    ----------
    pairs, outcomes : table or DataFrame
        Of one suite.
    methods : Sequence[str], optional
        By default all.
    n_permutations : int
        Relabellings of Mantel's test; the smallest p is 1 / (n_permutations + 1).
    seed : int
        Of the relabellings.

    Returns
    -------
    DataFrame
        One row a (method, metric): `n_pairs`, `r`, `p` (two-sided, as if pairs were independent),
        `rho` (Spearman), `p_mantel`, and `q_mantel` (Benjamini-Hochberg over the metrics of the
        method) with `p_holm` (Holm, of `p_mantel`). NaN where r is undefined.

    Raises
    ------
    TableError
        The tables hold several suites.
    """
    from scipy.stats import pearsonr, spearmanr

    pairs = as_pairs(pairs)
    if len(pairs.suites) > 1:
        raise TableError(
            "pairs table, column 'suite'",
            f"{len(pairs.suites)} suites",
            "correlate one suite at a time",
        )
    tables = []
    for method, measured in as_outcomes(outcomes).pairs().groupby("method", sort=True):
        if methods is not None and method not in methods:
            continue
        metrics = keyed_metrics(pairs, str(method))
        joined = measured[measured["retention"].notna()].merge(metrics, on=PAIR_KEYS)
        rng = np.random.default_rng(derived_seed(seed, "mantel", method))
        rows = []
        for key in metrics.columns.drop(PAIR_KEYS):
            both = joined[joined[key].notna()]
            x, y = both[key].to_numpy(), both["retention"].to_numpy()
            r = pearson(x, y)
            row = {"method": method, "metric": key, "n_pairs": len(both), "r": r}
            if not np.isnan(r):
                row |= {"p": pearsonr(x, y).pvalue, "rho": spearmanr(x, y).statistic}
                row["p_mantel"] = _mantel(both, x, y, r, n_permutations, rng)
            rows.append(row)
        table = pd.DataFrame(
            rows, columns=["method", "metric", "n_pairs", "r", "p", "rho", "p_mantel"]
        )
        table["q_mantel"] = benjamini_hochberg(table["p_mantel"].to_numpy(dtype=float))
        table["p_holm"] = holm(table["p_mantel"].to_numpy(dtype=float))
        tables.append(table)
    if not tables:
        raise TableError("outcomes table", "no merged pair of these methods", "check their names")
    return pd.concat(tables, ignore_index=True)


def benjamini_hochberg(p: Floats) -> Floats:
    """Adjusted p-values that bound the false discovery rate; NaN stays NaN and does not count."""
    from scipy.stats import false_discovery_control

    return _adjusted(p, false_discovery_control)


def holm(p: Floats) -> Floats:
    """Adjusted p-values that bound the chance of any false rejection (Holm's step-down)."""

    def step_down(defined: Floats) -> Floats:
        order = np.argsort(defined, kind="stable")
        adjusted = np.empty(len(defined))
        adjusted[order] = np.maximum.accumulate(defined[order] * np.arange(len(order), 0, -1))
        return np.minimum(adjusted, 1.0)

    return _adjusted(p, step_down)


def _adjusted(p: Floats, correction: Callable[[Floats], Floats]) -> Floats:
    adjusted = np.full(len(p), np.nan)
    defined = ~np.isnan(p)
    if defined.any():
        adjusted[defined] = correction(p[defined])
    return adjusted


def _mantel(
    pairs: pd.DataFrame, x: Floats, y: Floats, r: float, n: int, rng: np.random.Generator
) -> float:
    """Two-sided p-value of r under relabellings of the models.

    A relabelling may move a pair onto one without an outcome; r is then over the pairs that have
    both.
    """
    tasks = np.unique(pairs[["left", "right"]].to_numpy(dtype=str))
    i, j = (np.searchsorted(tasks, pairs[side].to_numpy(dtype=str)) for side in ("left", "right"))
    matrix = np.full((len(tasks), len(tasks)), np.nan)
    matrix[i, j] = matrix[j, i] = y
    labels = np.array([rng.permutation(len(tasks)) for _ in range(n)])
    moved = matrix[labels[:, i], labels[:, j]]
    defined = ~np.isnan(moved)
    count = defined.sum(axis=1, keepdims=True)
    dy = np.where(defined, moved - np.nanmean(moved, axis=1, keepdims=True), 0.0)
    dx = np.where(defined, x - (defined * x).sum(axis=1, keepdims=True) / count, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        null = (dx * dy).sum(axis=1) / np.sqrt((dx**2).sum(axis=1) * (dy**2).sum(axis=1))
    # A hair of tolerance: a relabelling that is a symmetry gives the same r but for rounding.
    extreme = np.abs(null) >= abs(r) - 1e-12
    return float((1 + extreme.sum()) / (1 + n))
