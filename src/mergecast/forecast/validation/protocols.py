"""Validation protocols: which rows are forecast from which, and whether warm predictors apply."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from sklearn.base import clone

from mergecast.errors import UsageError
from mergecast.forecast.estimators.predictors import Predictor, checked_numbers
from mergecast.forecast.rows import kin
from mergecast.forecast.splitters import Indices, LeaveOneTaskOut, LeaveTwoTasksOut
from mergecast.forecast.training import TrainingRows
from mergecast.registry import Registry

Fold = tuple[str, Indices, Indices]


@dataclass(frozen=True)
class Protocol:
    """An entry of the registry.

    Attributes
    ----------
    name : str
        Its key.
    folds : callable
        Training rows to (what is held out, train indices, test indices).
    partners_known : bool
        Whether each test pair has one task with outcomes in the training rows. Warm predictors do
        not apply otherwise.
    summary : str
        One line for tables and help.
    """

    name: str
    folds: Callable[[TrainingRows], Iterator[Fold]]
    partners_known: bool
    summary: str

    def applies_to(self, predictor: Predictor) -> bool:
        """Whether a predictor can say anything under it."""
        return self.partners_known or not predictor.warm


def out_of_fold(rows: TrainingRows, predictor: Predictor, protocol: Protocol) -> pd.DataFrame:
    """Predict every row of every fold by a model that was fitted without the fold.

    Returns
    -------
    DataFrame
        `fold, suite, left, right, member, predicted, measured`; under LOTO a pair stands twice,
        once a task held out.

    Raises
    ------
    UsageError
        A fold cannot be trained, or the predictor gives no number for each row.
    """
    estimator = predictor.make()
    tables = []
    for fold, train, test in protocol.folds(rows):
        fitted = clone(estimator).fit(rows.X.iloc[train], rows.y[train])
        table = rows.keys.iloc[test].copy()
        table.insert(0, "fold", fold)
        numbers = fitted.predict(rows.X.iloc[test])
        table["predicted"] = checked_numbers(numbers, len(test), predictor.name)
        table["measured"] = rows.y[test]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _task_folds(splitter: LeaveOneTaskOut | LeaveTwoTasksOut, rows: TrainingRows) -> Iterator[Fold]:
    groups = rows.groups
    names = splitter.fold_names(groups)
    for name, (train, test) in zip(names, splitter.split(groups=groups), strict=True):
        yield name, train, test


def _suite_folds(rows: TrainingRows) -> Iterator[Fold]:
    suite = np.array([kin(name) for name in rows.keys["suite"]])
    names = np.unique(suite).tolist()
    if len(names) < 2:
        raise UsageError(
            "protocol 'suite'",
            f"holds out one suite of several, but there is one only ({names[0]!r})",
            "give two or more suite folders",
        )
    for name in names:
        yield name, np.flatnonzero(suite != name), np.flatnonzero(suite == name)


PROTOCOLS: Registry[Protocol] = Registry("protocol")

for _protocol in (
    Protocol(
        "loto",
        partial(_task_folds, LeaveOneTaskOut()),
        True,
        "leave one task out: one new model among known ones",
    ),
    Protocol(
        "l2to",
        partial(_task_folds, LeaveTwoTasksOut()),
        False,
        "leave two tasks out: a pair of new models",
    ),
    Protocol("suite", _suite_folds, False, "leave one suite out: new models of a new kind"),
):
    PROTOCOLS.add(_protocol.name, _protocol)
