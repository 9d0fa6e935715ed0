"""One entry a merging method: what was measured, and how far the forecast was from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd

from mergecast.errors import UsageError
from mergecast.forecast.choice import competing
from mergecast.forecast.validation.evaluation import Evaluation
from mergecast.report.model import ProtocolScores, RunMethod, Scores, Spread
from mergecast.report.verdicts import judged
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.plain import number

#: The hardest protocol first: the forecast shown is the one that had seen neither task.
_PROTOCOLS = ["suite", "l2to", "loto"]
_NUMBERS = ["per_fold_r", "pooled_r", "mae", "coverage"]


def main_evaluation(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The evaluation that forecasts are taken from: ``suite``, then ``l2to``, then ``loto``."""
    by_protocol = {evaluation.protocol: evaluation for evaluation in evaluations}
    for protocol in _PROTOCOLS:
        if protocol in by_protocol:
            return by_protocol[protocol]
    raise UsageError("evaluations", "none given", "evaluate the run under l2to or loto")


def chosen_predictors(evaluation: Evaluation) -> dict[str, str]:
    """Method to the predictor of least mean absolute error, a tie going to the plainer one.

    Baselines that need outcomes of the partner (warm) take no part, as they cannot forecast new
    models; the constant does. This is the choice that ``mergecast fit`` makes.
    """
    results = evaluation.results
    cold = results[~results["warm"].astype(bool) & results["mae"].notna()]
    best: dict[str, str] = {}
    for method, rows in cold.groupby("method", sort=True):
        # Rows stand in the order of the fit's candidates, from the plainest on.
        errors = rows.set_index("predictor")["mae"]
        best[str(method)] = str(errors[competing(list(errors.index))].idxmin())
    return best


def method_scores(outcomes: OutcomeTable, evaluations: Sequence[Evaluation]) -> list[RunMethod]:
    """Per merging method, sorted by name: measured retention and the errors of its forecast."""
    main = main_evaluation(evaluations)
    pairs, errors = outcomes.pairs(), sampling_errors(outcomes)
    methods: list[RunMethod] = []
    for method, predictor in chosen_predictors(main).items():
        protocols = {e.protocol: _scores_of(e, method, predictor) for e in evaluations}
        measured = pairs.loc[pairs["method"] == method, "retention"]
        methods.append(
            {
                "method": method,
                "predictor": predictor,
                "forecast": _spread(_forecasts(main, method, predictor)),
                "measured": {
                    **_spread(measured),
                    "min": number(measured.min()),
                    "n_pairs": int(measured.notna().sum()),
                    "n_undefined": int(measured.isna().sum()),
                    "sampling_error": errors.get(method),
                },
                "protocols": protocols,
                **judged(predictor, protocols[main.protocol]),
            }
        )
    return methods


def sampling_errors(outcomes: OutcomeTable) -> dict[str, float]:
    """Method to the typical standard error of a measured pair retention, from test-set size alone.

    The error over paired samples where the table has it (`retention_stderr`). Elsewhere the
    binomial error of the merged score, divided by the single score; the single model's own error
    (shared by all its pairs) is not in it. Two members are averaged. Empty where neither is known:
    scores that are not shares in [0, 1], or no number of samples.
    """
    # Pairs first: a larger set without a score says nothing about them.
    rows = outcomes.by_recipe[outcomes.sizes == 2]
    score = rows["score"].to_numpy(dtype="float64")
    single = rows["single_score"].to_numpy(dtype="float64")
    error = np.full(len(score), np.nan)
    if ((score >= 0) & (score <= 1)).all():
        variance = score * (1 - score) / rows["n_eval"].to_numpy(dtype="float64")
        np.divide(np.sqrt(variance), single, out=error, where=single > 0)
    if "retention_stderr" in rows:
        paired = rows["retention_stderr"].to_numpy(dtype="float64")
        error = np.where(np.isnan(paired), error, paired)
    frame = rows[["suite", "method", "members", "seed"]].assign(square=error**2)
    sums = frame.groupby(["suite", "method", "members", "seed"])["square"].sum(min_count=2)
    means = np.sqrt(sums / 4).groupby("method").mean().dropna()
    return {str(method): float(value) for method, value in means.items()}


def _scores_of(evaluation: Evaluation, method: str, predictor: str) -> ProtocolScores:
    rows = evaluation.results[evaluation.results["method"] == method].set_index("predictor")

    def scores(name: str) -> Scores | None:
        if name not in rows.index or number(rows["mae"][name]) is None:
            return None
        return cast("Scores", {key: number(rows[key][name]) for key in _NUMBERS})

    return {
        "forecast": scores(predictor),
        "constant": scores("constant"),
        "partner_mean": scores("partner_mean"),
    }


def _forecasts(evaluation: Evaluation, method: str, predictor: str) -> pd.Series:
    """What one predictor forecast for each pair under a method."""
    rows = evaluation.predictions
    rows = rows[(rows["method"] == method) & (rows["predictor"] == predictor)]
    return rows.groupby(["suite", "left", "right"])["predicted"].mean()


def _spread(values: pd.Series) -> Spread:
    return {"mean": number(values.mean()), "std": number(values.std(ddof=1))}
