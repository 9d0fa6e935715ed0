"""The fits of `science.py`: what metrics are worth with both tasks of a pair unseen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mergecast.analysis.groups import PAPER_GROUPS
from mergecast.forecast.rows import IDENTITY
from mergecast.forecast.training import TrainingRows, training_rows
from mergecast.forecast.validation.protocols import PROTOCOLS
from mergecast.suites.merges import SIX
from mergecast.tables.columns import Column
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable

GRADIENT_INTERFERENCE = (
    "interference_fisher",
    "interference_fisher_diagonal",
    "interference_first_order",
    "interference_displacement",
)
START = "superposed_expected_unlabelled"
#: Penalties of ridge; the one of least generalised cross-validation error is taken.
PENALTIES = np.logspace(-1, 4, 11)
#: Groups of the paper's metrics that ridge reads.
VARIANTS: dict[str, tuple[str, ...]] = {
    "ridge on the paper's metrics": tuple(PAPER_GROUPS),
    **{f"... on {group} alone": (group,) for group in PAPER_GROUPS},
    "... without gradient": tuple(group for group in PAPER_GROUPS if group != "gradient"),
    "... without subspace": tuple(group for group in PAPER_GROUPS if group != "subspace"),
}


def paper(pairs: PairTable, groups: Collection[str] = tuple(PAPER_GROUPS)) -> PairTable:
    """The table with the paper's metrics of some groups, those of nine tenths of the pairs."""
    keys = {key for group in groups for key in PAPER_GROUPS[group]}
    there = [c for c in pairs.metrics if pairs.frame[c].notna().mean() >= 0.9]
    return pairs.only([c for c in there if Column.parse(c).name in keys])


def print_unseen(suites: dict) -> None:
    print("\n\nBoth tasks unseen: mean absolute error over the constant's, mean over six methods\n")
    columns = {}
    for name, (pairs, outcomes) in suites.items():
        column = {}
        for variant, groups in VARIANTS.items():
            kept = paper(pairs, groups)
            if kept.metrics:
                rows = training_rows(kept, outcomes, list(SIX))
                column[variant] = np.mean([_ratio(one, metrics_of(one)) for one in rows.values()])
        rows = training_rows(_of_superposition(pairs), outcomes, list(SIX))
        column["superposition, as it is"] = np.mean([_as_it_is(one) for one in rows.values()])
        columns[name] = column
    print(pd.DataFrame(columns).to_string(float_format="%.2f", na_rep="–"))


def metrics_of(rows: TrainingRows) -> list[str]:
    return [column for column in rows.X.columns if column not in IDENTITY]


def _ratio(rows: TrainingRows, columns: list[str]) -> float:
    """Error of ridge over that of the constant."""
    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    return _fitted(rows, columns, model) / _fitted(rows, [])


def _of_superposition(pairs: PairTable, extra: Sequence[str] = ()) -> PairTable:
    names = {START, *extra}
    return pairs.only([c for c in pairs.metrics if Column.parse(c).name in names])


def _as_it_is(rows: TrainingRows) -> float:
    """Error of pairs over the constant's, nothing fitted."""
    return _pair_error(rows, rows.X[START].to_numpy()) / _fitted(rows, [])


def _pair_error(rows: TrainingRows, told: np.ndarray) -> float:
    frame = rows.keys.assign(off=told - rows.y)
    return float(frame.groupby(["left", "right"])["off"].mean().abs().mean())


def print_gradients(suites: dict) -> None:
    print("\n\nGradients beside superposition: least squares, both tasks unseen, error over the")
    print("constant's, mean over six methods; the same where only the metric is read\n")
    print(f"{'metric':<46}" + "".join(f"{name:>30}" for name in suites))
    extras = ["", *GRADIENT_INTERFERENCE, *PAPER_GROUPS["gradient"]]
    for extra in extras:
        cells = [_cell_of_fit(pairs, outcomes, extra) for pairs, outcomes in suites.values()]
        print(f"{extra or 'superposition alone':<46}" + "".join(f"{one:>30}" for one in cells))


def _cell_of_fit(pairs: PairTable, outcomes: OutcomeTable, extra: str) -> str:
    names = {Column.parse(c).name for c in pairs.metrics}
    if extra and extra not in names:
        return "–"
    rows = training_rows(_of_superposition(pairs, [extra] if extra else []), outcomes, list(SIX))
    both, alone = [], []
    if extra and any(extra not in one.X.columns for one in rows.values()):
        return "–"  # missing for too many pairs
    for one in rows.values():
        constant = _fitted(one, [])
        both.append(_fitted(one, [START, *([extra] if extra else [])]) / constant)
        if extra:
            alone.append(_fitted(one, [extra]) / constant)
    return f"{np.mean(both):.2f}" + (f"   {np.mean(alone):.2f}" if extra else "")


def _fitted(rows: TrainingRows, columns: list[str], model: Any = None) -> float:
    """Mean absolute error of pairs on some columns, two tasks left out; the mean without any."""
    told = np.full(len(rows.y), np.nan)
    model = make_pipeline(StandardScaler(), LinearRegression()) if model is None else model
    for _, train, test in PROTOCOLS.get("l2to").folds(rows):
        if not columns:
            told[test] = rows.y[train].mean()
            continue
        X = rows.X[columns].to_numpy(dtype=float)
        told[test] = clone(model).fit(X[train], rows.y[train]).predict(X[test])
    return _pair_error(rows, told)
