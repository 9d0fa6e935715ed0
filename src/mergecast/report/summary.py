"""The summary of a run: forecasts that had not seen a pair's tasks, beside what its merge did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pandas as pd

from mergecast.forecast.intervals import LEVEL
from mergecast.forecast.recommend import THRESHOLD, recommend
from mergecast.forecast.result import Forecast
from mergecast.forecast.validation.decisions import advice_scores, with_hindsight
from mergecast.forecast.validation.evaluation import Evaluation
from mergecast.report.advice import advice_records
from mergecast.report.inputs import RunInputs
from mergecast.report.model import (
    AdviceScores,
    MemberRow,
    RunHeader,
    RunSummary,
)
from mergecast.report.scores import chosen_predictors, main_evaluation, method_scores
from mergecast.report.task_scores import task_rows
from mergecast.report.verdicts import run_verdict, run_warnings
from mergecast.tables.pairs import PAIR_KEYS
from mergecast.tables.plain import plain, records
from mergecast.version import __version__

_ROW = [*PAIR_KEYS, "method", "member"]


def summarise_run(
    inputs: RunInputs,
    evaluations: Sequence[Evaluation],
    forecast: Forecast | None = None,
    *,
    date: str | None = None,
) -> RunSummary:
    """All that a report of a run says.

    Parameters
    ----------
    inputs : RunInputs
        What the run measured.
    evaluations : Sequence[Evaluation]
        Of the same tables, one a protocol; forecasts and advice are those of the hardest
        (``suite``, ``l2to``, ``loto``); each pair is forecast by a fit that had not seen it.
    forecast : Forecast, optional
        Of the same pairs by a forecaster fitted on all of them, for the reasons: which metrics
        carry the number. Its numbers are not used.
    date : str, optional
        Of the report, today by default.

    Returns
    -------
    RunSummary
    """
    main = main_evaluation(evaluations)
    methods = method_scores(inputs.outcomes, evaluations)
    rows = _held_out(main, chosen_predictors(main))
    constant = _held_out(main, dict.fromkeys((m["method"] for m in methods), "constant"))
    judged, baseline = _judged(rows), _judged(constant)
    advice = cast("AdviceScores", advice_scores(judged, baseline, THRESHOLD))
    tasks = task_rows(inputs.tasks)
    names = inputs.pairs.models
    seeds = sorted({int(seed) for seed in inputs.outcomes.frame["seed"]})
    notes = dict.fromkeys(note for evaluation in evaluations for note in evaluation.notes)
    return {
        "kind": "run",
        "header": _header(inputs, names, [m["method"] for m in methods], seeds, date),
        "protocol": main.protocol,
        "level": LEVEL,
        "threshold": THRESHOLD,
        "verdict": list(run_verdict(methods, main.protocol, advice)),
        "methods": methods,
        "rows": _with_reasons(rows, forecast),
        "pairs": advice_records(judged),
        "advice": advice,
        "tasks": tasks,
        "missing": [asdict(entry) for entry in inputs.pairs.missing],
        "notes": list(notes),
        "warnings": list(run_warnings(methods, main.protocol, LEVEL, tasks, len(names), seeds)),
    }


def _held_out(evaluation: Evaluation, predictors: dict[str, str]) -> pd.DataFrame:
    """Member rows of one predictor a method; under LOTO the mean of a pair's two forecasts."""
    table = evaluation.predictions
    wanted = table["method"].map(predictors) == table["predictor"]
    table = table[wanted].copy()
    for bound in ("lower", "upper"):
        if bound not in table:
            table[bound] = np.nan
    # Retention is not negative: the forecaster clips its forecasts, and so does the report.
    table["predicted"] = table["predicted"].clip(lower=0.0)
    numbers = ["predicted", "lower", "upper", "measured"]
    return table.groupby(_ROW, sort=True)[numbers].mean().reset_index()


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    """The advice that forecasts lead to, beside what the merges did."""
    forecast = rows.rename(columns={"predicted": "retention"})
    return with_hindsight(recommend(forecast), rows)


def _with_reasons(rows: pd.DataFrame, forecast: Forecast | None) -> list[MemberRow]:
    reasons: dict[tuple[Any, ...], Any] = {}
    if forecast is not None:
        columns = forecast.rows[_ROW].itertuples(index=False, name=None)
        reasons = dict(zip(columns, forecast.rows["reasons"], strict=True))
    members = records(rows)
    for row in members:
        key = tuple(row[column] for column in _ROW)
        row |= {"inside": _inside(row), "reasons": plain(reasons.get(key, []))}
    return cast("list[MemberRow]", members)


def _inside(row: dict[str, Any]) -> bool | None:
    """Whether the outcome lies in the interval; None where one of them is missing."""
    if row["lower"] is None or row["measured"] is None:
        return None
    # An upper bound may be infinite (too few residuals); then only the lower one can fail.
    upper = math.inf if row["upper"] is None else row["upper"]
    return bool(row["lower"] <= row["measured"] <= upper)


def _header(
    inputs: RunInputs, tasks: list[str], methods: list[str], seeds: list[int], date: str | None
) -> RunHeader:
    suite, n_eval = plain(inputs.suite), inputs.outcomes.frame["n_eval"]
    return {
        "suites": inputs.pairs.suites,
        "seeds": seeds,
        "date": date or datetime.now(UTC).date().isoformat(),
        "versions": {"mergecast": __version__, **suite.get("versions", {})},
        "recipe": suite.get("recipe", {}),
        "tasks": tasks,
        "methods": methods,
        "n_pairs": len(inputs.pairs),
        "n_metrics": len(inputs.pairs.metrics),
        "n_eval": [int(n_eval.min()), int(n_eval.max())] if n_eval.notna().any() else [],
    }
