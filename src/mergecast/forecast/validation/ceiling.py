"""What the noise of outcomes allows: forecasts, and merges that are tried on few samples."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.sets import sizes_of
from mergecast.typing import Floats

#: Labelled samples of a task that merges are tried on, as many as forecasts are given.
TRIED = 100
_PAIR = ["recipe", "suite", "members", "seed"]


def ceilings(outcomes: OutcomeTable) -> pd.Series:
    """√reliability of a pair's retention under each recipe.

    The variance of a measured outcome between pairs is that of the true one and that of sampling;
    the latter follows from the standard errors of the two members, on test samples of their own.
    The share of the former is the reliability, its root the correlation of the measured outcome
    with the true one (Spearman 1904), which no forecast can pass but by chance.

    Parameters
    ----------
    outcomes : OutcomeTable
        With `retention_stderr`.

    Returns
    -------
    Series
        By recipe; 0 where sampling explains all that there is between pairs. Recipes without
        standard errors, or of fewer than three pairs, are not there.

    Examples
    --------
    >>> rows = [("A+B", "A", 0.9), ("A+B", "B", 0.9), ("A+C", "A", 0.7), ("A+C", "C", 0.7),
    ...         ("B+C", "B", 0.5), ("B+C", "C", 0.5)]
    >>> frame = pd.DataFrame(rows, columns=["members", "task", "score"]).assign(
    ...     suite="s", method="ties", single_score=1.0, retention_stderr=0.02)
    >>> ceilings(OutcomeTable(frame)).round(4).to_dict()
    {'ties': 0.9975}
    """
    return _by_recipe(_pairs(outcomes)[["retention", "variance"]])


def tried_errors(outcomes: OutcomeTable, samples: int = TRIED) -> pd.Series:
    """What a pair's retention is off by where each merge is made and tried on a few samples.

    The mean absolute error against what was measured, which has noise of its own: of a normal
    variable whose variance is that of sampling on all test samples, and that on so many others.

    Parameters
    ----------
    outcomes : OutcomeTable
        With `retention_stderr` and `n_eval`.
    samples : int
        Labelled samples of each task.

    Returns
    -------
    Series
        By recipe; recipes without standard errors, or numbers of samples, are not there.

    Examples
    --------
    >>> frame = pd.DataFrame({"members": "A+B", "task": ["A", "B"], "score": 0.9, "suite": "s",
    ...     "method": "ties", "single_score": 1.0, "retention_stderr": 0.02, "n_eval": 400})
    >>> tried_errors(OutcomeTable(frame)).round(4).to_dict()
    {'ties': 0.0252}
    """
    pairs = _pairs(outcomes)
    variance = pairs["variance"] * (1 + pairs["n_eval"] / samples)
    errors: pd.Series = np.sqrt(2 / np.pi * variance.dropna())
    return errors.groupby(level="recipe").mean()


def _pairs(outcomes: OutcomeTable) -> pd.DataFrame:
    """Pairs with their mean `retention`, its sampling `variance`, and the mean `n_eval`."""
    two = outcomes.frame[(outcomes.sizes == 2) & ~outcomes.of_own_models]
    errors = two.get("retention_stderr", pd.Series(np.nan, two.index))
    members = two.assign(variance=errors**2).groupby(_PAIR, dropna=False)
    pairs = members[["retention", "variance", "n_eval"]].mean()
    return pairs.assign(variance=pairs["variance"] / 2)


def split_half_ceilings(samples: pd.DataFrame, splits: int = 50, seed: int = 0) -> pd.Series:
    """What `ceilings` finds, from the samples themselves instead of standard errors.

    Every task's test samples are halved at random. A quarter of the mean square of what lies
    between the two halves' retention of a pair is the sampling variance of that on all samples.

    Parameters
    ----------
    samples : DataFrame
        The scores of every sample, as ``outcomes.samples.parquet`` of a suite's run holds them; of
        these the merges of two.
    splits : int
        How often the samples are halved.
    seed : int
        Of the halves.

    Returns
    -------
    Series
        As of `ceilings`; recipes of fewer than three pairs with all scores are not there.
    """
    rng = np.random.default_rng(seed)
    halves: dict[tuple[str, int], Floats] = {}
    rows = []
    for row in samples[sizes_of(samples["members"]) == 2].itertuples():
        merged, single = (np.asarray(x, dtype=np.float64) for x in (row.scores, row.single_scores))
        if len(merged) < 2 or len(single) != len(merged) or single.sum() <= 0:
            continue
        asked = (str(row.task), len(merged))
        if asked not in halves:
            order = np.tile(np.arange(asked[1]), (splits, 1))
            halves[asked] = (rng.permuted(order, axis=1) < asked[1] // 2).astype(np.float64)
        one, other = halves[asked], 1 - halves[asked]
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = one @ merged / (one @ single) - other @ merged / (other @ single)
        rows.append([*(getattr(row, key) for key in _PAIR), merged.sum() / single.sum(), *apart])
    members = pd.DataFrame(rows, columns=[*_PAIR, "retention", *range(splits)]).groupby(_PAIR)
    pairs = members.mean()[members.size() == 2].dropna()
    variance = (pairs[list(range(splits))] ** 2).mean(axis=1) / 4
    return _by_recipe(pairs[["retention"]].assign(variance=variance))


def _by_recipe(pairs: pd.DataFrame) -> pd.Series:
    """√reliability by recipe, of pairs' `retention` and its sampling `variance`."""
    found = {}
    for recipe, rows in pairs.dropna().groupby(level="recipe"):
        if len(rows) > 2 and (total := float(rows["retention"].var())) > 0:
            found[str(recipe)] = float(np.sqrt(max(0.0, 1 - rows["variance"].mean() / total)))
    return pd.Series(found, dtype="float64")
