"""Validate predictors on merges that were done, beside the baselines that any must beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mergecast.forecast.design import ROW_KEYS, training_rows
from mergecast.forecast.intervals import add_intervals
from mergecast.forecast.predictors import BASELINES, PREDICTORS, Predictor
from mergecast.forecast.protocols import PROTOCOLS, Protocol, out_of_fold

Progress = Callable[[int, int], None]

NOT_APPLICABLE = "not applicable: needs outcomes of the partner, and both tasks are unseen"
_NUMBERS = ["per_fold_r", "pooled_r", "mae", "coverage"]
_COUNTS = ["n_pairs", "n_folds", "n_undefined_folds"]
RESULT_COLUMNS = ["protocol", "method", "predictor", "warm", *_NUMBERS, *_COUNTS, "note"]
PREDICTION_COLUMNS = ["method", "predictor", "fold", *ROW_KEYS, "predicted", "measured"]


@dataclass(frozen=True)
class Evaluation:
    """What a validation found.

    Attributes
    ----------
    protocol : ``loto``, ``l2to`` or ``suite``.
    results : one row a (method, predictor): `per_fold_r`, the mean of Pearson's r over the folds
        where it is defined; `pooled_r` over all folds' predictions together; `mae`, the mean
        absolute error; all three on *pairs*, in retention; `coverage`, the share of member rows
        inside their nominal 90 % interval (``l2to`` only); counts of pairs, of folds and of folds
        whose r is undefined (fewer than three pairs, or a constant side). What does not apply or
        is undefined is NaN, with a `note`.
    predictions : one row a (method, predictor, fold, member): `predicted`, `measured`, and under
        ``l2to`` `lower`, `upper`.
    notes : pairs and metrics that were left out, with reasons.
    """

    protocol: str
    results: pd.DataFrame
    predictions: pd.DataFrame
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: protocol, results and notes; undefined values are None."""
        rows = self.results.astype(object).where(self.results.notna(), None).to_dict("records")
        return {"protocol": self.protocol, "results": rows, "notes": self.notes}


def evaluate(
    pairs: pd.DataFrame,
    outcomes: pd.DataFrame,
    protocol: str = "loto",
    predictors: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Forecast every pair from merges that do not involve what the protocol holds out.

    Parameters
    ----------
    pairs, outcomes : tables as in `mergecast.tables`.
    protocol : ``loto`` (leave one task out), ``l2to`` (two), ``suite``.
    predictors : names in `PREDICTORS`, by default all. The baselines `constant` and
        `partner_mean` always stand beside.
    methods : merging methods, by default all of the outcome table.
    progress : called with (fits of method and predictor done, in all).

    Raises
    ------
    TableError
        A table breaks its schema, or nothing is left to learn from.
    UsageError
        An unknown name, or too few tasks or suites for the protocol.
    """
    scheme = PROTOCOLS.get(protocol)
    names = list(dict.fromkeys([*BASELINES, *(predictors or PREDICTORS.names())]))
    chosen = [PREDICTORS.get(name) for name in names]
    data = training_rows(pairs, outcomes, list(methods) if methods else None)
    results, tables = [], []
    total = len(data) * len(chosen)
    for method, rows in data.items():
        for predictor in chosen:
            head: dict[str, Any] = {"protocol": protocol, "method": method}
            head |= {"predictor": predictor.name, "warm": predictor.warm}
            if not applies(predictor, scheme):
                results.append({**head, "n_pairs": rows.n_pairs, "note": NOT_APPLICABLE})
            else:
                table = out_of_fold(rows, predictor, scheme)
                if protocol == "l2to":
                    table = add_intervals(table)
                table.insert(0, "method", method)
                table.insert(1, "predictor", predictor.name)
                tables.append(table)
                results.append({**head, **scores(table)})
            if progress is not None:
                progress(len(results), total)
    notes = dict.fromkeys(note for rows in data.values() for note in rows.notes)
    frame = pd.DataFrame(results, columns=RESULT_COLUMNS)
    frame[_COUNTS] = frame[_COUNTS].fillna(0).astype("int64")
    frame["note"] = [note if isinstance(note, str) else "" for note in frame["note"]]
    return Evaluation(protocol, frame, pd.concat(tables, ignore_index=True), list(notes))


def applies(predictor: Predictor, protocol: Protocol) -> bool:
    """Whether a predictor can say anything under a protocol."""
    return protocol.partners_known or not predictor.warm


def scores(predictions: pd.DataFrame) -> dict[str, Any]:
    """The numbers of one (method, predictor), from its out-of-fold predictions (member rows).

    A pair's prediction and outcome are the means over its two members. Note that the mean of the
    *training* pairs falls when good pairs are held out: a constant predictor's pooled r is
    negative by construction.
    """
    keys = ["fold", "suite", "left", "right"]
    paired = predictions.groupby(keys, sort=False)[["predicted", "measured"]].mean().reset_index()
    fold_r = [
        pearson(fold["predicted"].to_numpy(), fold["measured"].to_numpy())
        for _, fold in paired.groupby("fold", sort=False)
    ]
    defined = [r for r in fold_r if not np.isnan(r)]
    found: dict[str, Any] = {
        "per_fold_r": float(np.mean(defined)) if defined else np.nan,
        "pooled_r": pearson(paired["predicted"].to_numpy(), paired["measured"].to_numpy()),
        "mae": float((paired["predicted"] - paired["measured"]).abs().mean()),
        "n_pairs": len(paired[keys[1:]].drop_duplicates()),
        "n_folds": len(fold_r),
        "n_undefined_folds": len(fold_r) - len(defined),
    }
    if "lower" in predictions:
        measured = predictions["measured"]
        found["coverage"] = float(
            measured.between(predictions["lower"], predictions["upper"]).mean()
        )
    return found


def pearson(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """Pearson's r; NaN where it is undefined: fewer than three values, or a constant side."""
    if len(x) < 3:
        return float("nan")
    dx, dy = x - x.mean(), y - y.mean()
    # What rounding leaves of a constant is no variation.
    if any(np.ptp(v) <= 1e-12 * max(1.0, float(np.abs(v).max())) for v in (x, y)):
        return float("nan")
    return float(np.clip(dx @ dy / np.sqrt((dx @ dx) * (dy @ dy)), -1.0, 1.0))
