"""A stored `AdditivePlus` applied to member rows: numbers, and what moved them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from mergecast.forecast.additive_schema import AdditiveModel
from mergecast.forecast.estimators.linear import Floats
from mergecast.forecast.rows import IDENTITY

Reasons = list[dict[str, str | float]]

# No training suite begins with it: models of a suite so called are known by nobody.
_STRANGER = "\t"


def additive_numbers(
    model: AdditiveModel, seen: pd.DataFrame, suite: str | None
) -> tuple[Floats, list[Reasons], npt.NDArray[np.bool_]]:
    """Forecasts (n,) of member rows, not clipped; reasons; which members have known outcomes (n,).

    A row that lacks a metric is NaN without reasons, and takes no part in what the others say
    about new models.

    Parameters
    ----------
    model : as stored.
    seen : member rows of a pair table.
    suite : the suite whose labels name models of the forecaster; all other models are strangers,
        whatever their labels.
    """
    values = seen.reindex(columns=model.metrics).to_numpy(dtype="float64")
    rows = np.flatnonzero(~np.isnan(values).any(axis=1))
    retention = np.full(len(seen), np.nan)
    reasons: list[Reasons] = [[] for _ in range(len(seen))]
    named = seen["suite"].to_numpy(dtype=str)
    by_label = named == suite if suite is not None else np.zeros(len(seen), dtype=bool)
    models = set(model.models)
    members = list(zip(named.tolist(), seen["member"], strict=True))
    known = by_label & np.array([one in models for one in members], dtype=bool)
    if not len(rows):
        return retention, reasons, known
    estimator = model.estimator()
    X = seen.reindex(columns=[*IDENTITY, *model.metrics]).iloc[rows].reset_index(drop=True)
    X["suite"] = np.where(by_label[rows], X["suite"], _STRANGER + X["suite"])
    shares = estimator.shares(X)
    retention[rows] = estimator.mean_ + shares.member + shares.partner + shares.metrics.sum(axis=1)
    # What the name of an effect rests on: outcomes of the model itself, or of models like it.
    effect = "known outcomes of {}" if model.by_name else "models like {}"
    for k, row in enumerate(rows):
        effects = [float(shares.member[k]), float(shares.partner[k])]
        labels = [effect.format(X[side].iloc[k]) for side in ("member", "partner")]
        reasons[row] = sorted_reasons(
            [*model.metrics, *labels],
            np.append(values[row], effects),
            np.append(shares.metrics[k], effects),
        )
    return retention, reasons, known


def sorted_reasons(names: list[str], values: Floats, contributions: Floats) -> Reasons:
    """What moved the number of one row, by |contribution|; nothing where one is NaN."""
    if np.isnan(contributions).any():
        return []
    order = np.argsort(-np.abs(contributions), kind="stable")
    return [
        {
            "metric": names[i],
            "value": float(values[i]),
            "contribution": float(contributions[i]),
        }
        for i in order
        if contributions[i] != 0
    ]
