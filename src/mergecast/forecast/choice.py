"""Which predictor a merging method gets, of those that can be stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd

from mergecast.errors import UsageError
from mergecast.forecast.estimators.predictors import PREDICTORS
from mergecast.forecast.validation.scoring import fold_scores, scores

AUTO: Final = "auto"
#: From the plainest on: a tie goes to the earlier one. Those that lack their metrics sit out.
CANDIDATES: Final = [
    "constant",
    "tempered",
    "tempered_unlabelled",
    "superposed",
    "superposed_unlabelled",
    "superposition",
    "superposition_unlabelled",
    "retention",
    "retention_unlabelled",
    "ridge",
    "lasso",
]
#: Where their metrics are there, nothing but the constant competes with them: fits of other metrics
#: that did better on the pairs of one family have not held on others (`docs/unseen.md`), and they
#: take the least evidence.
PREFERRED: Final = [
    "tempered",
    "tempered_unlabelled",
    "superposed",
    "superposed_unlabelled",
    "superposition",
    "superposition_unlabelled",
]


def candidates(predictor: str) -> list[str]:
    """Predictors to choose from with both tasks unseen, the plainest first.

    Two new models need a forecast too, so that with a warm predictor as asked the others are chosen
    as by ``auto``. Raises UsageError for one that has no stored form.
    """
    storable = {entry.name: entry for entry in PREDICTORS if entry.stored is not None}
    if predictor == AUTO or (predictor in storable and storable[predictor].warm):
        return CANDIDATES
    if predictor not in storable:
        names = dict.fromkeys([AUTO, *CANDIDATES, *storable])
        raise UsageError.unknown("predictor", predictor, names)
    # The constant stays in: its numbers stand beside those of any other.
    return list(dict.fromkeys(["constant", predictor]))


def competing(names: Sequence[str]) -> list[str]:
    """Those of some candidates that the choice is between: `PREFERRED` and the constant, or all."""
    if not set(names) & set(PREFERRED):
        return list(names)
    return [name for name in names if name == "constant" or name in PREFERRED]


def chosen(held_out: Mapping[str, pd.DataFrame], several: bool) -> str:
    """The name of the least error; of several kinds of models superposition as it is.

    A level or a slope learned of a method from other kinds lowers its error by little, and moves it
    against the other methods: choosing by such forecasts loses more. Where there is no
    superposition it is the constant, which says nothing of other kinds, unless a fit errs less in
    every kind than that kind's own mean.
    """
    names = list(held_out)
    if not several:
        return min(names, key=lambda name: error(held_out[name], by_kin=False))
    if plainest(names) in PREFERRED:
        return plainest(names)
    errors = {name: fold_scores(table).set_index("fold")["mae"] for name, table in held_out.items()}
    errors["constant"] = _own_means(held_out["constant"])
    best, *others = names
    for name in others:
        if (errors[name] < errors[best]).all():
            best = name
    return best


def plainest(names: Sequence[str]) -> str:
    """The first of `PREFERRED` among some candidates, or of all."""
    return next((name for name in names if name in PREFERRED), names[0])


def _own_means(table: pd.DataFrame) -> pd.Series:
    """What every kind of models errs by its own mean, which nobody knows before: fold to error."""
    means = table.groupby("fold")["measured"].transform("mean")
    return fold_scores(table.assign(predicted=means)).set_index("fold")["mae"]


def error(table: pd.DataFrame, by_kin: bool) -> float:
    """Mean absolute error of a pair; of every kind of models by itself first."""
    return float(fold_scores(table)["mae"].mean() if by_kin else scores(table)["mae"])
