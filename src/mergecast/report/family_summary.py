"""The summary of a forecast for new models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import cast

import numpy as np
import pandas as pd

from mergecast.forecast.file import MethodModel
from mergecast.forecast.result import Forecast
from mergecast.forecast.rows import ABSTAINED
from mergecast.report import known_outcomes
from mergecast.report.advice import advice_records
from mergecast.report.depth_panels import pair_layers
from mergecast.report.family_verdict import (
    better_strengths,
    family_verdict,
    headline,
    next_command,
)
from mergecast.report.measured_summary import summarise_measured
from mergecast.report.model import (
    FamilyMethod,
    FamilySummary,
    MemberRow,
    ProtocolScores,
    Scores,
)
from mergecast.report.set_model import BestStrength, StrengthCurve
from mergecast.report.set_summary import summarise_sets
from mergecast.report.task_scores import floor_sentences, task_rows
from mergecast.report.verdicts import judged
from mergecast.tables.plain import records
from mergecast.tables.sets import split_members
from mergecast.version import __version__

#: Pairs that a warning names.
_NAMED = 3


def summarise_forecast(forecast: Forecast, *, date: str | None = None) -> FamilySummary:
    """All that a report of a forecast says.

    Parameters
    ----------
    forecast : Forecast
        What a forecaster said, of files or of a table alone.
    date : str, optional
        Of the report, today by default.

    Returns
    -------
    FamilySummary
    """
    forecaster, pairs = forecast.forecaster, forecast.metrics
    models_of = forecaster.tiers[forecast.tier]
    names = sorted(models_of)
    warm = forecaster.warm.get(forecast.tier, {})
    entries = [
        _method(name, models_of[name], warm.get(name), forecaster.protocol) for name in names
    ]
    rows = forecast.rows.rename(columns={"retention": "predicted"}).assign(measured=np.nan)
    member_rows = cast("list[MemberRow]", records(rows.assign(inside=None)))
    advice = advice_records(forecast.pairs)
    sets = None if forecast.sets is None else summarise_sets(forecast.sets)
    strengths = _strengths(forecast.strengths)
    beside = forecast.beside
    measured = None if beside is None else summarise_measured(beside, forecast.level)
    outside = _out_of_range(forecast.rows)
    summary: FamilySummary = {
        "kind": "forecast",
        "header": {
            "base": forecast.base,
            "models": dict(forecast.models),
            "refused": dict(forecast.refused),
            "forecaster": forecast.name,
            "trained_on": {
                "suites": forecaster.training.suites,
                "tasks": forecaster.training.tasks,
            },
            "date": date or datetime.now(UTC).date().isoformat(),
            "versions": {"mergecast": __version__, "forecaster": forecaster.mergecast_version},
            "methods": names,
            "n_pairs": len(pairs),
            "n_metrics": len(pairs.metrics),
            "tier": forecast.tier,
            "evidence": [*forecast.evidence],
            "suite": forecast.suite,
            "measured": forecast.measured.n_merges if forecast.measured else 0,
        },
        "protocol": forecaster.protocol,
        "level": forecast.level,
        "threshold": forecast.threshold,
        "headline": headline(advice),
        "next": next_command(
            forecast.base,
            forecast.models,
            advice,
            sets,
            forecast.threshold,
            forecast.merge_options,
        ),
        "verdict": [
            *_doubts(forecast),
            *([forecast.abstention] if forecast.abstention else []),
            *(use.sentence for use in forecast.uses),
            *family_verdict(advice, member_rows, sets, forecast.threshold),
            *better_strengths(advice, sets, strengths, forecast.threshold),
            *floor_sentences(forecast.task_scores, forecast.threshold),
            *([measured["sentence"]] if measured is not None else []),
            *known_outcomes.sentences(forecast.rows, warm, forecast.suite),
            *_evidence(forecast),
        ],
        "methods": entries,
        "rows": member_rows,
        "pairs": advice,
        "out_of_range": {key: len(outside[key]) for key in sorted(outside)},
        "tasks": task_rows(forecast.task_scores),
        "missing": [asdict(entry) for entry in pairs.missing],
        "notes": [*forecaster.training.notes, *forecast.unused],
        "warnings": [*dict.fromkeys([*forecast.warnings, *forecast_warnings(forecast)])],
    }
    if measured is not None:
        summary["measured"] = measured
    if forecast.depth is not None:
        summary["layers"] = pair_layers(forecast.depth)
    if sets is not None:
        summary["sets"] = sets
    if forecast.strengths is not None:
        summary["strengths"] = strengths
    if forecast.curves is not None:
        summary["curves"] = _curves(forecast.curves)
    return summary


def forecast_warnings(forecast: Forecast) -> list[str]:
    """What the numbers themselves warn of: weak methods, extrapolation, errors that are assumed."""
    file = forecast.forecaster
    models = file.tiers[forecast.tier]
    told = set(forecast.rows.loc[forecast.rows["basis"] != ABSTAINED, "method"])
    entries = [
        _method(name, models[name], None, file.protocol) for name in sorted(told & {*models})
    ]
    outside = _out_of_range(forecast.rows)
    warnings = [f"{e['method']}: {e['sentence']}" for e in entries if not e["better"]]
    if outside:
        listing = ", ".join(
            f"{key} ({len(pairs)}: {_whose(pairs)})" for key, pairs in sorted(outside.items())
        )
        warnings.append(
            "Outside the forecaster's training range, so that its numbers are extrapolations "
            f"(metric, pairs of {len(forecast.pairs)}): {listing}."
        )
    return [*warnings, *(use.doubt for use in forecast.uses if use.doubt)]


def _method(name: str, model: MethodModel, warm: MethodModel | None, protocol: str) -> FamilyMethod:
    validation = {key: cast("Scores", dict(score)) for key, score in model.validation.items()}
    scores: ProtocolScores = {
        "forecast": validation.get(model.predictor),
        "constant": validation.get("constant"),
        "partner_mean": None,
    }
    return {
        "method": name,
        "predictor": model.predictor,
        "n_pairs": model.n_pairs,
        "protocols": {protocol: scores},
        "warm": known_outcomes.of_method(warm, model.predictor),
        **judged(model.predictor, scores),
    }


def _strengths(table: pd.DataFrame | None) -> list[BestStrength]:
    if table is None:
        return []
    table = table.assign(members=table["members"].map(split_members))
    return cast("list[BestStrength]", records(table))


def _curves(points: pd.DataFrame) -> list[StrengthCurve]:
    """One a set, as they come."""
    drawn: list[StrengthCurve] = []
    for (method, members), rows in points.groupby(["method", "members"], sort=False):
        drawn.append(
            {
                "members": split_members(str(members)),
                "method": str(method),
                "strengths": rows["strength"].tolist(),
                "kept": rows["kept"].tolist(),
                "low": rows["low"].tolist(),
                "high": rows["high"].tolist(),
            }
        )
    return drawn


def _doubts(forecast: Forecast) -> list[str]:
    """The models about whose merges nothing is advised, first of all."""
    return [
        f"No advice is given about merges with {label}, which {text}."
        for label, text in forecast.doubtful.items()
    ]


def _evidence(forecast: Forecast) -> list[str]:
    """What was taken for the forecast; nothing is known of a table."""
    if not forecast.evidence:
        return []
    return [f"Evidence taken: {', '.join(forecast.evidence)} (tier {forecast.tier})."]


def _out_of_range(rows: pd.DataFrame) -> dict[str, list[tuple[str, str]]]:
    """Metric to the pairs with a number in which it lies outside the training range, sorted."""
    rows = rows[rows["basis"] != ABSTAINED]
    columns = zip(rows["left"], rows["right"], rows["out_of_range"], strict=True)
    outside: dict[str, set[tuple[str, str]]] = {}
    for left, right, metrics in columns:
        for metric in metrics:
            outside.setdefault(metric, set()).add((left, right))
    return {metric: sorted(pairs) for metric, pairs in outside.items()}


def _whose(pairs: Sequence[tuple[str, str]]) -> str:
    """The models that some pairs are of: one that is in all of them, or the first pairs."""
    common = set(pairs[0]).intersection(*pairs)
    if len(pairs) > 1 and len(common) == 1:
        return f"all of {common.pop()}"
    named = ", ".join(" + ".join(pair) for pair in pairs[:_NAMED])
    return named + (", …" if len(pairs) > _NAMED else "")
