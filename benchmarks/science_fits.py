"""The fits of `science.py`: what metrics are worth with both tasks of a pair unseen."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from mergecast.analysis.groups import PAPER_GROUPS
from mergecast.forecast.estimators.predictors import PREDICTORS
from mergecast.forecast.training import TrainingRows, training_rows
from mergecast.forecast.validation.protocols import PROTOCOLS, out_of_fold
from mergecast.forecast.validation.scoring import scores
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
#: Groups of the paper's metrics that ridge reads.
VARIANTS: dict[str, tuple[str, ...]] = {
    "ridge on the paper's metrics": tuple(PAPER_GROUPS),
    **{f"... on {group} alone": (group,) for group in PAPER_GROUPS},
    "... without gradient": tuple(group for group in PAPER_GROUPS if group != "gradient"),
    "... without subspace": tuple(group for group in PAPER_GROUPS if group != "subspace"),
}


def paper(pairs: PairTable, groups: Collection[str] = tuple(PAPER_GROUPS)) -> PairTable:
    """The table with the paper's metrics of some groups alone."""
    keys = {key for group in groups for key in PAPER_GROUPS[group]}
    return pairs.only([c for c in pairs.metrics if Column.parse(c).name in keys])


def print_unseen(suites: dict) -> None:
    print("\n\nBoth tasks unseen: mean absolute error over the constant's, mean over six methods\n")
    columns = {}
    for name, (pairs, outcomes) in suites.items():
        constant = _errors(training_rows(paper(pairs), outcomes, list(SIX)), "constant")
        column = {}
        for variant, groups in VARIANTS.items():
            kept = paper(pairs, groups)
            if kept.metrics:
                rows = training_rows(kept, outcomes, list(SIX))
                errors = _errors(rows, "ridge")
                column[variant] = np.mean([errors[m] / constant[m] for m in errors])
        rows = training_rows(_of_superposition(pairs), outcomes, list(SIX))
        column["superposition, as it is"] = np.mean(
            [_as_it_is(one) / constant[method] for method, one in rows.items()]
        )
        columns[name] = column
    print(pd.DataFrame(columns).to_string(float_format="%.2f", na_rep="–"))


def _errors(rows: dict[str, TrainingRows], predictor: str) -> dict[str, float]:
    tested, scheme = PREDICTORS.get(predictor), PROTOCOLS.get("l2to")
    return {m: float(scores(out_of_fold(one, tested, scheme))["mae"]) for m, one in rows.items()}


def _of_superposition(pairs: PairTable, extra: Sequence[str] = ()) -> PairTable:
    names = {START, *extra}
    return pairs.only([c for c in pairs.metrics if Column.parse(c).name in names])


def _as_it_is(rows: TrainingRows) -> float:
    """Mean absolute error of pairs, nothing fitted."""
    return _pair_error(rows, rows.X[START].to_numpy())


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
    for one in rows.values():
        constant = _fitted(one, [])
        both.append(_fitted(one, [START, *([extra] if extra else [])]) / constant)
        if extra:
            alone.append(_fitted(one, [extra]) / constant)
    return f"{np.mean(both):.2f}" + (f"   {np.mean(alone):.2f}" if extra else "")


def _fitted(rows: TrainingRows, columns: list[str]) -> float:
    """Mean absolute error of pairs by least squares on some columns, two tasks left out."""
    told = np.full(len(rows.y), np.nan)
    for _, train, test in PROTOCOLS.get("l2to").folds(rows):
        X = rows.X[columns].to_numpy(dtype=float)
        if not columns:
            told[test] = rows.y[train].mean()
            continue
        scale = X[train].std(axis=0)
        X = (X - X[train].mean(axis=0)) / np.where(scale > 0, scale, 1.0)
        told[test] = LinearRegression().fit(X[train], rows.y[train]).predict(X[test])
    return _pair_error(rows, told)
