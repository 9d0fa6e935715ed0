"""Warm forecasts in words: which used what merges of a known model did, and how far it helps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from mergecast.forecast.file import MethodModel
from mergecast.forecast.rows import WARM
from mergecast.report.model import Warm
from mergecast.tables.pairs import PAIR_KEYS


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


def sentences(
    rows: pd.DataFrame, warm: Mapping[str, MethodModel], suite: str | None
) -> Iterator[str]:
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
        return
    labels = {
        label for model in warm.values() for owner, label in model.known_models if owner == suite
    }
    models = sorted({*rows["left"], *rows["right"]} & labels)
    head = f"Known outcomes of {', '.join(models)} (suite {suite}) were"
    used = rows[rows["basis"] == WARM]
    if not warm:
        yield (
            "No outcome of a known model was used: the forecaster has no model for them, as they "
            f"did not lower its error (suite {suite})."
        )
    elif not models:
        yield (
            "No outcome of a known model was used: none of these models has the label of one of "
            f"suite {suite} ({', '.join(sorted(labels))})."
        )
    elif used.empty:
        needed = sorted(set().union(*(model.needs for model in warm.values())))
        yield (
            f"{head} not used: the pairs lack one of the metrics that go with them "
            f"({', '.join(needed)})."
        )
    else:
        pairs, n = (len(table[PAIR_KEYS].drop_duplicates()) for table in (used, rows))
        methods = sorted(used["method"].unique())
        others = sorted(set(rows["method"]) - set(methods))
        text = f"{head} used for {pairs} of {n} pairs, by {', '.join(methods)}"
        yield f"{text}; not by {', '.join(others)}." if others else f"{text}."
