"""The highest correlation that a forecast can have with outcomes that are noisy themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mergecast.tables.outcomes import OutcomeTable


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
    frame = outcomes.frame
    if "retention_stderr" not in frame:
        return pd.Series(dtype="float64")
    two = (outcomes.sizes == 2) & ~outcomes.of_own_models
    members = frame[two].assign(variance=lambda x: x["retention_stderr"] ** 2)
    pairs = members.groupby(["recipe", "suite", "members", "seed"], dropna=False)[
        ["retention", "variance"]
    ].mean()
    pairs["variance"] /= 2
    found = {}
    for recipe, rows in pairs.dropna().groupby(level="recipe"):
        if len(rows) > 2 and (total := float(rows["retention"].var())) > 0:
            found[str(recipe)] = float(np.sqrt(max(0.0, 1 - rows["variance"].mean() / total)))
    return pd.Series(found, dtype="float64")
