"""Everything a validation says about decisions, in one place: `decisions` applied where it can be.

Choosing a method needs two of them, ranking partners one task held out at a time, sets of models an
outcome table that has some.
"""

from __future__ import annotations

import pandas as pd

from mergecast.forecast.result import THRESHOLD
from mergecast.forecast.rows import ROW_KEYS
from mergecast.forecast.sets import SET_COLUMNS, set_forecasts, set_scores
from mergecast.forecast.validation.decisions import Choices, method_regret, partner_regret
from mergecast.forecast.validation.evaluation import Evaluation
from mergecast.tables.outcomes import OutcomesLike, OutcomeTable, as_outcomes

# The rules applied to what the pairs in a set really kept: what no forecast of pairs can improve.
MEASURED_PAIRS = "measured pairs"


def choices(
    evaluation: Evaluation,
    outcomes: OutcomesLike,
    threshold: float = THRESHOLD,
) -> Choices:
    """Score the decisions that the out-of-fold predictions of a validation would have led to.

    Parameters
    ----------
    evaluation : of two merging methods at least for a choice between them.
    outcomes : the outcome table that was validated on; its merges of three and more models are
        forecast from the predictions of their pairs.
    threshold : retention below which the worst member of a pair speaks against merging it.
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


def _sets(predictions: pd.DataFrame, outcomes: OutcomeTable) -> pd.DataFrame:
    columns = ["predictor", *SET_COLUMNS]
    known = outcomes.frame["method"].isin(predictions["method"].unique())
    if not (known & (outcomes.sizes > 2)).any():
        return pd.DataFrame(columns=columns)
    checked = outcomes.keep(known)
    # Under `loto` each row is predicted twice, with either of its tasks held out.
    keys = ["predictor", "method", *ROW_KEYS]
    means = predictions.groupby(keys, sort=False)["predicted"].mean().rename("retention")
    by_predictor = means.reset_index().groupby("predictor", sort=False)
    directed = {str(name): rows for name, rows in by_predictor}
    directed[MEASURED_PAIRS] = checked.members()
    tables = []
    for name, rows in directed.items():
        scores = set_scores(set_forecasts(rows, checked))
        scores.insert(0, "predictor", name)
        tables.append(scores)
    return pd.concat(tables, ignore_index=True)[columns]
