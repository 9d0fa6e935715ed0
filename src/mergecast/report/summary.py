"""The summary of a run: forecasts that had not seen a pair's tasks, beside what its merge did.

Plain data, ready for JSON; the page and the terminal tables are renderings of it. Units are
retention (1 = the merged model scores as the single one) unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from mergecast.forecast.intervals import LEVEL
from mergecast.forecast.recommend import THRESHOLD, recommend
from mergecast.forecast.result import Forecast
from mergecast.forecast.validation.decisions import advice_scores, with_hindsight
from mergecast.forecast.validation.evaluation import Evaluation
from mergecast.report.advice import advice_records
from mergecast.report.inputs import RunInputs
from mergecast.report.plain import number, plain, records
from mergecast.report.scores import chosen_predictors, main_evaluation, method_scores
from mergecast.report.verdicts import method_sentence, run_verdict, run_warnings
from mergecast.tables.pairs import PAIR_KEYS
from mergecast.version import __version__

_ROW = [*PAIR_KEYS, "method", "member"]


def summarise_run(
    inputs: RunInputs,
    evaluations: Sequence[Evaluation],
    forecast: Forecast | None = None,
    *,
    date: str | None = None,
) -> dict[str, Any]:
    """All that a report of a run says.

    Parameters
    ----------
    inputs : what the run measured.
    evaluations : of the same tables, one a protocol; forecasts and advice are those of the hardest
        (``suite``, ``l2to``, ``loto``); each pair is forecast by a fit that had not seen it.
    forecast : of the same pairs by a forecaster fitted on all of them, for the reasons: which
        metrics carry the number. Its numbers are not used.
    date : of the report, today by default.

    Returns
    -------
    Dict of `kind` ("run"), `header`, `verdict` (sentences), `protocol`, `level`, `methods` (see
    `method_scores`, with `sentence`), `rows` (one a pair, method and member: predicted, lower,
    upper, measured, inside, reasons), `pairs` (advice and regret), `advice` (its scores), `tasks`,
    `missing` (undefined metric values with reasons), `notes` (what was left out), `warnings`.
    """
    main = main_evaluation(evaluations)
    methods = method_scores(inputs.outcomes, evaluations)
    for entry in methods:
        entry["sentence"] = method_sentence(entry, main.protocol)
    rows = _held_out(main, chosen_predictors(main))
    constant = _held_out(main, dict.fromkeys((m["method"] for m in methods), "constant"))
    judged, baseline = _judged(rows), _judged(constant)
    advice = advice_scores(judged, baseline, THRESHOLD)
    tasks = _tasks(inputs.tasks)
    names = sorted({*inputs.pairs["left"], *inputs.pairs["right"]})
    seeds = sorted({int(seed) for seed in inputs.outcomes["seed"]})
    notes = dict.fromkeys(note for evaluation in evaluations for note in evaluation.notes)
    return {
        "kind": "run",
        "header": _header(inputs, names, [m["method"] for m in methods], seeds, date),
        "protocol": main.protocol,
        "level": LEVEL,
        "threshold": THRESHOLD,
        "verdict": run_verdict(methods, main.protocol, advice),
        "methods": methods,
        "rows": _with_reasons(rows, forecast),
        "pairs": advice_records(judged),
        "advice": advice,
        "tasks": tasks,
        "missing": [plain(entry) for entry in inputs.pairs.attrs.get("missing", [])],
        "notes": list(notes),
        "warnings": run_warnings(methods, main.protocol, LEVEL, tasks, len(names), seeds),
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


def _with_reasons(rows: pd.DataFrame, forecast: Forecast | None) -> list[dict[str, Any]]:
    reasons: dict[tuple[Any, ...], Any] = {}
    if forecast is not None:
        columns = forecast.rows[_ROW].itertuples(index=False, name=None)
        reasons = dict(zip(columns, forecast.rows["reasons"], strict=True))
    found = []
    for row in records(rows):
        known = row["lower"] is not None and row["measured"] is not None
        # An upper bound may be infinite (too few residuals); then only the lower one can fail.
        above = row["upper"] is None or (known and row["measured"] <= row["upper"])
        row["inside"] = bool(row["lower"] <= row["measured"] and above) if known else None
        key = tuple(row[column] for column in _ROW)
        row["reasons"] = plain(reasons.get(key, []))
        found.append(row)
    return found


def _tasks(tasks: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Task rows with `gain`: fine-tuned score above the better of base and commonest class."""
    if tasks is None:
        return []
    found = []
    for row in records(tasks):
        floor = [row[key] for key in ("base_score", "majority") if row[key] is not None]
        single = row["single_score"]
        known = floor and single is not None
        found.append({**row, "gain": number(single - max(floor)) if known else None})
    return found


def _header(
    inputs: RunInputs, tasks: list[str], methods: list[str], seeds: list[int], date: str | None
) -> dict[str, Any]:
    suite = plain(inputs.suite)
    return {
        "suites": sorted(inputs.pairs["suite"].unique()),
        "seeds": seeds,
        "date": date or datetime.now(UTC).date().isoformat(),
        "versions": {"mergecast": __version__, **suite.get("versions", {})},
        "recipe": suite.get("recipe", {}),
        "tasks": tasks,
        "methods": methods,
        "n_pairs": len(inputs.pairs),
        "n_metrics": len(inputs.pairs.columns) - len(PAIR_KEYS),
        "n_eval": [int(inputs.outcomes["n_eval"].min()), int(inputs.outcomes["n_eval"].max())],
    }
