"""One entry a merging method: what was measured, and how far the forecast was from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mergecast.errors import UsageError
from mergecast.forecast.validation.evaluation import Evaluation
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.plain import number

#: A forecast whose error is not at least this share below the constant's is called no better.
LEAST_GAIN = 0.05
#: The hardest protocol first: the forecast shown is the one that had seen neither task.
_PROTOCOLS = ["suite", "l2to", "loto"]
_NUMBERS = ["per_fold_r", "pooled_r", "mae", "coverage"]


def main_evaluation(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The evaluation that forecasts are taken from: ``suite``, then ``l2to``, then ``loto``."""
    found = {evaluation.protocol: evaluation for evaluation in evaluations}
    for protocol in _PROTOCOLS:
        if protocol in found:
            return found[protocol]
    raise UsageError("evaluations", "none given", "evaluate the run under l2to or loto")


def chosen_predictors(evaluation: Evaluation) -> dict[str, str]:
    """Method to the predictor of least mean absolute error, a tie going to the plainer one.

    Baselines that need outcomes of the partner (warm) take no part, as they cannot forecast new
    models; the constant does. This is the choice that ``mergecast fit`` makes.
    """
    results = evaluation.results
    cold = results[~results["warm"].astype(bool) & results["mae"].notna()]
    # A stable sort: rows stand in the order of the registry, from the plainest predictor on.
    best = cold.sort_values("mae", kind="stable").groupby("method", sort=True)["predictor"].first()
    return {str(method): str(predictor) for method, predictor in best.items()}


def method_scores(
    outcomes: OutcomeTable, evaluations: Sequence[Evaluation]
) -> list[dict[str, Any]]:
    """Per merging method, sorted by name: measured retention and the errors of its forecast.

    Returns dicts of `method, predictor, forecast` (mean, std over pairs, under the main protocol),
    `measured` (mean, std, min, n_pairs, sampling_error: of pairs, in retention), `protocols`
    (protocol to `forecast`, `constant`, `partner_mean`, each `per_fold_r, pooled_r, mae, coverage`
    or None where it does not apply), `gain` (1 − mae / constant's mae under the main protocol) and
    `better` (gain of at least `LEAST_GAIN`).
    """
    main = main_evaluation(evaluations)
    chosen = chosen_predictors(main)
    pairs = outcomes.pairs()
    errors = sampling_errors(outcomes)
    found = []
    for method, predictor in chosen.items():
        protocols = {e.protocol: _scores_of(e, method, predictor) for e in evaluations}
        mine = protocols[main.protocol]
        gain = _gain(mine["forecast"]["mae"], mine["constant"]["mae"])
        measured = pairs.loc[pairs["method"] == method, "retention"]
        found.append(
            {
                "method": method,
                "predictor": predictor,
                "forecast": _forecast_spread(main, method, predictor),
                "measured": {
                    "mean": number(measured.mean()),
                    "std": number(measured.std(ddof=1)),
                    "min": number(measured.min()),
                    "n_pairs": int(measured.notna().sum()),
                    "n_undefined": int(measured.isna().sum()),
                    "sampling_error": errors.get(method),
                },
                "protocols": protocols,
                "gain": gain,
                "better": gain is not None and gain >= LEAST_GAIN,
            }
        )
    return found


def _forecast_spread(
    evaluation: Evaluation, method: str, predictor: str
) -> dict[str, float | None]:
    """Mean and standard deviation over pairs of what one predictor forecast for a method."""
    table = evaluation.predictions
    own = table[(table["method"] == method) & (table["predictor"] == predictor)]
    pairs = own.groupby(["suite", "left", "right"])["predicted"].mean()
    return {"mean": number(pairs.mean()), "std": number(pairs.std(ddof=1))}


def sampling_errors(outcomes: OutcomeTable) -> dict[str, float]:
    """Method to the typical standard error of a measured pair retention, from test-set size alone.

    Binomial error of the merged score, divided by the single score, two members averaged; the
    single model's own error (shared by all its pairs) is not in it. Empty for scores that are not
    shares in [0, 1].
    """
    # Pairs first: a larger set without a score says nothing about them.
    rows = outcomes.frame[outcomes.sizes == 2]
    score = rows["score"].to_numpy(dtype="float64")
    if not ((score >= 0) & (score <= 1)).all():
        return {}
    single = rows["single_score"].to_numpy(dtype="float64")
    variance = score * (1 - score) / rows["n_eval"].to_numpy(dtype="float64")
    error = np.full(len(score), np.nan)
    np.divide(np.sqrt(variance), single, out=error, where=single > 0)
    frame = rows[["suite", "method", "members", "seed"]].assign(square=error**2)
    sums = frame.groupby(["suite", "method", "members", "seed"])["square"].sum(min_count=2)
    means = np.sqrt(sums / 4).groupby("method").mean().dropna()
    return {str(method): float(value) for method, value in means.items()}


def _scores_of(evaluation: Evaluation, method: str, predictor: str) -> dict[str, Any]:
    rows = evaluation.results[evaluation.results["method"] == method].set_index("predictor")
    found: dict[str, Any] = {}
    for label, name in (
        ("forecast", predictor),
        ("constant", "constant"),
        ("partner_mean", "partner_mean"),
    ):
        scores = {key: number(rows[key].get(name)) for key in _NUMBERS}
        found[label] = None if scores["mae"] is None else scores
    return found


def _gain(mae: float | None, constant: float | None) -> float | None:
    if mae is None or constant is None or constant == 0:
        return None
    return 1 - mae / constant
