"""Warm forecasts in words: which used what merges of a known model did, and how far it helps."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from mergecast.forecast.file import MethodModel
from mergecast.forecast.result import WARM
from mergecast.report.model import Warm


def of_method(model: MethodModel | None, cold: str) -> Warm | None:
    """Errors with one task unseen: of a method's warm model, and of its cold one by name.

    None where the forecaster has no warm model of the method.
    """
    if model is None:
        return None
    score, beside = model.validation.get(model.predictor), model.validation.get(cold)
    sentence = "Its error with known outcomes is not in the file."
    if score is not None and beside is not None:
        sentence = (
            f"With known outcomes of one of the two models: error {score.mae:.3f}, beside "
            f"{beside.mae:.3f} without them."
        )
    return {
        "predictor": model.predictor,
        "mae": score.mae if score else None,
        "pooled_r": score.pooled_r if score else None,
        "cold_mae": beside.mae if beside else None,
        "sentence": sentence,
    }


def sentences(rows: pd.DataFrame, warm: Mapping[str, MethodModel], suite: str | None) -> list[str]:
    """What was made of the suite that the models were declared to be of; nothing without one.

    Parameters
    ----------
    rows : DataFrame
        `Forecast.rows`.
    warm : mapping of str to MethodModel
        The warm models of the tier that was read, by method.
    suite : str or None
        As given to `Forecaster.forecast`.
    """
    if suite is None:
        return []
    if not warm:
        return [
            f"No outcome of a known model was used: the forecaster has no model for them, as they "
            f"did not lower its error (suite {suite})."
        ]
    labels = {
        label for model in warm.values() for owner, label in model.known_models if owner == suite
    }
    models = sorted({*rows["left"], *rows["right"]} & labels)
    if not models:
        return [
            f"No outcome of a known model was used: none of these models has the label of one of "
            f"suite {suite} ({', '.join(sorted(labels))})."
        ]
    used = rows[rows["basis"] == WARM]
    if used.empty:
        needed = sorted(set().union(*(model.needs for model in warm.values())))
        return [
            f"Known outcomes of {', '.join(models)} (suite {suite}) were not used: the pairs lack "
            f"one of the metrics that go with them ({', '.join(needed)})."
        ]
    pairs = used[["left", "right"]].drop_duplicates()
    n = len(rows[["suite", "left", "right"]].drop_duplicates())
    methods = sorted(used["method"].unique())
    rest = sorted(set(rows["method"]) - set(methods))
    text = (
        f"Known outcomes of {', '.join(models)} (suite {suite}) were used for {len(pairs)} of {n} "
        f"pairs, by {', '.join(methods)}"
    )
    return [f"{text}; not by {', '.join(rest)}." if rest else f"{text}."]
