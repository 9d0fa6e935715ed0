"""Everything a validation says about decisions, in one place: `decisions` applied where it can be.

Choosing a method needs two of them, ranking partners one task held out at a time, sets of models an
outcome table that has some.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mergecast.forecast.recommend import THRESHOLD
from mergecast.forecast.rows import ROW_KEYS
from mergecast.forecast.sets import RULES, set_forecasts
from mergecast.forecast.validation.decisions import Choices, method_regret, partner_regret
from mergecast.forecast.validation.evaluation import Evaluation
from mergecast.forecast.validation.scoring import pearson, spearman
from mergecast.tables.outcomes import OutcomesLike, OutcomeTable, as_outcomes

# The rules applied to what the pairs in a set really kept: what no forecast of pairs can improve.
MEASURED_PAIRS = "measured pairs"
SET_COLUMNS = ["method", "size", "rule", "n_sets", "r", "rho", "mae"]


def choices(
    evaluation: Evaluation, outcomes: OutcomesLike, threshold: float = THRESHOLD
) -> Choices:
    """Score the decisions that the out-of-fold predictions of a validation would have led to.

    Parameters
    ----------
    evaluation : Evaluation
        Of two merging methods at least for a choice between them.
    outcomes : OutcomeTable or DataFrame
        What was validated on; its merges of three and more models are forecast from the predictions
        of their pairs.
    threshold : float
        Retention below which the worst member of a pair speaks against merging it.
    """
    predictions = evaluation.predictions
    several = len(predictions["method"].unique()) > 1
    by_task = evaluation.protocol == "loto"
    return Choices(
        methods=method_regret(predictions if several else predictions.iloc[:0], threshold),
        partners=partner_regret(predictions if by_task else predictions.iloc[:0]),
        sets=_sets(predictions, as_outcomes(outcomes)),
        threshold=threshold,
    )


def set_scores(forecasts: pd.DataFrame) -> pd.DataFrame:
    """How well each rule does on sets that have both forecast and outcome.

    Parameters
    ----------
    forecasts : DataFrame
        As `set_forecasts` returns.

    Returns
    -------
    DataFrame
        One row a (method, size, rule): `n_sets`, `r`, `rho` and `mae`.
    """
    scores = []
    for (method, size), table in forecasts.groupby(["method", "size"], sort=True):
        for rule in RULES:
            both = table[[rule, "measured"]].dropna()
            x, y = both[rule].to_numpy(), both["measured"].to_numpy()
            error = float(np.abs(x - y).mean()) if len(both) else np.nan
            numbers = {"r": pearson(x, y), "rho": spearman(x, y), "mae": error}
            scores.append(
                {"method": method, "size": size, "rule": rule, "n_sets": len(both), **numbers}
            )
    return pd.DataFrame(scores, columns=SET_COLUMNS)


def _sets(predictions: pd.DataFrame, outcomes: OutcomeTable) -> pd.DataFrame:
    columns = ["predictor", *SET_COLUMNS]
    predicted = outcomes.frame["recipe"].isin(predictions["method"].unique())
    if not (predicted & (outcomes.sizes > 2)).any():
        return pd.DataFrame(columns=columns)
    outcomes = outcomes.keep(predicted)
    # Under `loto` each row is predicted twice, with either of its tasks held out.
    keys = ["predictor", "method", *ROW_KEYS]
    means = predictions.groupby(keys, sort=False)["predicted"].mean().rename("retention")
    by_predictor = means.reset_index().groupby("predictor", sort=False)
    directed = {str(name): rows for name, rows in by_predictor}
    directed[MEASURED_PAIRS] = outcomes.members()
    tables = []
    for name, rows in directed.items():
        scores = set_scores(set_forecasts(rows, outcomes))
        scores.insert(0, "predictor", name)
        tables.append(scores)
    return pd.concat(tables, ignore_index=True)[columns]
