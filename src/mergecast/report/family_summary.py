"""The summary of a forecast for new models: nothing measured yet, so nothing to compare with."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from mergecast.forecast.file import MethodModel
from mergecast.forecast.recommend import DO_NOT_MERGE, MERGE
from mergecast.forecast.result import Forecast
from mergecast.report import known_outcomes
from mergecast.report.advice import advice_records
from mergecast.report.plain import plain
from mergecast.report.scores import LEAST_GAIN
from mergecast.report.set_summary import summarise_sets
from mergecast.report.verdicts import method_sentence
from mergecast.tables.pairs import PAIR_KEYS
from mergecast.version import __version__


def summarise_forecast(forecast: Forecast, *, date: str | None = None) -> dict[str, Any]:
    """All that a report of a forecast says; same keys as `summarise_run`, `kind` "forecast".

    Parameters
    ----------
    forecast : Forecast
        What a forecaster said, of files or of a table alone.
    date : str, optional
        Of the report, today by default.
    """
    forecaster, pairs = forecast.forecaster, forecast.metrics
    models_of = forecaster.tiers[forecast.tier]
    names = sorted(models_of)
    warm = forecaster.warm.get(forecast.tier, {})
    entries = [_method(name, models_of[name], forecaster.protocol) for name in names]
    for entry in entries:
        entry["warm"] = known_outcomes.of_method(warm.get(entry["method"]), entry["predictor"])
    rows = forecast.rows.rename(columns={"retention": "predicted"}).assign(measured=np.nan)
    advice = advice_records(forecast.pairs)
    outside = _out_of_range(forecast.rows)
    summary = {
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
            "n_metrics": len(pairs.columns) - len(PAIR_KEYS),
            "tier": forecast.tier,
            "suite": forecast.suite,
        },
        "protocol": forecaster.protocol,
        "level": forecast.level,
        "threshold": forecast.threshold,
        "verdict": [
            *_verdict(advice, forecast.threshold),
            *known_outcomes.sentences(forecast.rows, warm, forecast.suite),
        ],
        "methods": entries,
        "rows": [{**row, "inside": None} for row in map(plain, rows.to_dict("records"))],
        "pairs": advice,
        "out_of_range": {key: outside[key] for key in sorted(outside)},
        "tasks": [],
        "missing": [plain(entry) for entry in pairs.attrs.get("missing", [])],
        "notes": list(forecaster.training.notes),
        "warnings": [*dict.fromkeys([*forecast.warnings, *forecast_warnings(forecast)])],
    }
    if forecast.sets is not None:
        summary["sets"] = summarise_sets(forecast.sets)
    return summary


def forecast_warnings(forecast: Forecast) -> list[str]:
    """What the numbers themselves warn of: methods hardly better than the mean, extrapolation."""
    file = forecast.forecaster
    models = file.tiers[forecast.tier]
    entries = [_method(name, models[name], file.protocol) for name in sorted(models)]
    outside = _out_of_range(forecast.rows)
    found = [f"{e['method']}: {e['sentence']}" for e in entries if not e["better"]]
    if outside:
        listing = ", ".join(f"{key} ({count})" for key, count in sorted(outside.items()))
        found.append(
            "Outside the forecaster's training range, so that its numbers are extrapolations "
            f"(metric, pairs of {len(forecast.pairs)}): {listing}."
        )
    return found


def _method(name: str, model: MethodModel, protocol: str) -> dict[str, Any]:
    scores = {key: dict(score) for key, score in model.validation.items()}
    own, constant = scores.get(model.predictor), scores.get("constant")
    gain = None
    if own and constant and constant["mae"] > 0:
        gain = 1 - own["mae"] / constant["mae"]
    entry = {
        "method": name,
        "predictor": model.predictor,
        "n_pairs": model.n_pairs,
        "protocols": {protocol: {"forecast": own, "constant": constant, "partner_mean": None}},
        "gain": gain,
        "better": gain is not None and gain >= LEAST_GAIN,
    }
    if own is None:
        return {**entry, "sentence": "The forecaster's file does not hold its error."}
    return {**entry, "sentence": method_sentence(entry, protocol)}


def _verdict(advice: list[dict[str, Any]], threshold: float) -> list[str]:
    counts = Counter(entry["advice"] for entry in advice)
    n = len(advice)
    head = (
        f"{counts[MERGE]} of {n} pairs" if n > 1 else ("The pair" if counts[MERGE] else "No pair")
    )
    verb = "is" if n == 1 or counts[MERGE] == 1 else "are"
    found = [
        f"{head} {verb} forecast to keep at least {threshold:.0%} of both members' scores "
        "under the best method."
    ]
    chosen = Counter(entry["method"] for entry in advice if entry["advice"] == MERGE)
    if chosen:
        best = ", ".join(f"{m} ({k})" for m, k in sorted(chosen.items(), key=lambda i: -i[1]))
        found.append(f"Methods advised: {best}.")
    if counts[DO_NOT_MERGE]:
        found.append(f"Advised not to merge: {counts[DO_NOT_MERGE]} of {n}.")
    return found


def _out_of_range(rows: pd.DataFrame) -> Counter[str]:
    """Metric to the number of pairs in which it lies outside the training range."""
    columns = zip(rows["suite"], rows["left"], rows["right"], rows["out_of_range"], strict=True)
    found = {(metric, *pair) for *pair, metrics in columns for metric in metrics}
    return Counter(metric for metric, *_ in found)
