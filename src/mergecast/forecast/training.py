"""Training rows: metrics joined with what the merges did, method by method.

Missing values, in this order, each reported as a note and never imputed:

1. a metric missing in more than a tenth of the pairs is left out for all of them;
2. a pair that still misses a metric, or has no (or no defined) outcome, is left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from mergecast.errors import TableError
from mergecast.forecast.rows import (
    IDENTITY,
    ROW_KEYS,
    kin,
    member_rows,
    reason_missing,
    reason_of,
)
from mergecast.tables.outcomes import OutcomesLike, OutcomeTable, as_outcomes
from mergecast.tables.pairs import PAIR_KEYS, PairsLike, PairTable, as_pairs
from mergecast.tables.runs import check_match
from mergecast.typing import Floats

MAX_MISSING_SHARE = 0.1


@dataclass(frozen=True)
class TrainingRows:
    """Rows of one merging method, ready for scikit-learn.

    Attributes
    ----------
    X : DataFrame of shape (n, 3 + p)
        Identity columns, then metrics sorted by name.
    y : ndarray of shape (n,)
        Retention of the row's member.
    keys : DataFrame of shape (n, 4)
        Suite, left, right, member. Both rows of a pair stand together.
    notes : list of str
        What was left out, and why.
    """

    X: pd.DataFrame
    y: Floats
    keys: pd.DataFrame
    notes: list[str] = field(default_factory=list)

    @property
    def groups(self) -> npt.NDArray[np.str_]:
        """The two tasks of each row, (n, 2): what the task-aware splitters take."""
        return self.keys[["left", "right"]].to_numpy(dtype=str)

    @property
    def kins(self) -> list[str]:
        """The kind of models of each row, (n,)."""
        return [kin(name) for name in self.keys["suite"]]

    @property
    def n_pairs(self) -> int:
        """Number of pairs, half the number of rows."""
        return len(self.y) // 2


def training_rows(
    pairs: PairsLike, outcomes: OutcomesLike, methods: list[str] | None = None
) -> dict[str, TrainingRows]:
    """Join metrics with what the merges did, method by method.

    Parameters
    ----------
    pairs, outcomes : PairTable and OutcomeTable, or DataFrame
        Metrics, and what the merges did.
    methods : list of str, optional
        Merging methods, recipes by their text; by default those of `learnable`.

    Raises
    ------
    TableError
        A table breaks its schema, a method has no outcomes, nothing is left to learn from.
    """
    pairs, outcomes = as_pairs(pairs), as_outcomes(outcomes)
    check_match(pairs, outcomes)
    measured = outcomes.members()
    merged = sorted(measured["method"].unique())
    for method in methods or []:
        if method not in merged:
            raise TableError(
                f"outcomes table, column 'method': {method!r}",
                "no pair was merged by it",
                f"methods there: {', '.join(merged) or 'none'}",
            )
    if not merged:
        raise TableError(
            "outcomes table, column 'members'", "no merged pair in it", "merge and evaluate pairs"
        )
    named, notes = (methods, []) if methods else learnable(outcomes)
    return {
        method: _join(pairs, measured[measured["method"] == method], method, notes)
        for method in named
    }


def learnable(outcomes: OutcomeTable) -> tuple[list[str], list[str]]:
    """Methods that a fit can be made of and validated, sorted, and a note on each other one.

    A recipe of its own models says nothing of others. Of a method that was measured on a few pairs
    alone there may be no pair without the models of another; if that is so of all, all are taken.
    """
    notes = [
        f"{recipe} left out: it is of its own models alone"
        for recipe in sorted(outcomes.frame.loc[outcomes.of_own_models, "recipe"].unique())
    ]
    few, pairs = [], outcomes.pairs()
    for method, rows in pairs.groupby("method", sort=True):
        names = rows[["left", "right"]].drop_duplicates()
        times = pd.concat([names["left"], names["right"]]).value_counts()
        others = len(names) + 1 - names["left"].map(times) - names["right"].map(times)
        if not (others > 0).all():
            few.append(str(method))
    methods = sorted(pairs["method"].unique())
    if len(few) == len(methods):
        return methods, notes
    notes += [f"{method} left out: too few of its pairs were measured" for method in few]
    return [method for method in methods if method not in few], notes


def _without_missing(pairs: PairTable, method: str) -> tuple[pd.DataFrame, list[str]]:
    rows = member_rows(pairs, method)
    metrics = list(rows.columns.drop([*ROW_KEYS, "partner"]))
    absent = rows[metrics].isna()
    pair = np.arange(len(rows)) // 2
    in_pairs = absent.groupby(pair).any().sum()
    # A directed metric that one model lacks is missing in all of that model's pairs.
    sparse = [key for key in metrics if in_pairs[key] > MAX_MISSING_SHARE * len(pairs)]
    features = pairs.method_features(method)
    notes = [
        f"metric {key} left out: missing in {in_pairs[key]} of {len(pairs)} pairs "
        f"({_usual_reason(pairs, rows[rows[key].isna()], features[key])})"
        for key in sparse
    ]
    kept = [key for key in metrics if key not in sparse]
    if not kept:
        raise TableError(
            "pairs table",
            "no metric is present in nine tenths of the pairs" if metrics else "no metric column",
            "compute metrics with `mergecast metrics`",
        )
    gaps = absent[kept]
    incomplete = gaps.any(axis=1).groupby(pair).transform("any").to_numpy()
    for first in np.flatnonzero(incomplete)[::2]:
        suite, left, right = rows.loc[first, ["suite", "left", "right"]]
        missing = [key for key in kept if gaps.loc[first : first + 1, key].any()]
        reason = reason_missing(pairs, suite, left, right, missing[0], method)
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        notes.append(
            f"pair {left} + {right} of suite {suite!r} left out: "
            f"metric {missing[0]}{more} missing ({reason})"
        )
    return rows.loc[~incomplete, [*ROW_KEYS, "partner", *kept]].reset_index(drop=True), notes


def _usual_reason(pairs: PairTable, gone: pd.DataFrame, columns: tuple[str, ...]) -> str:
    keys = gone[PAIR_KEYS].itertuples(index=False, name=None)
    return Counter(reason_of(pairs, key, columns) for key in keys).most_common(1)[0][0]


def _join(pairs: PairTable, measured: pd.DataFrame, method: str, beside: list[str]) -> TrainingRows:
    suites = pairs.frame["suite"].isin(measured["suite"].unique())
    # Where one suite was not merged by it, what that suite lacks is no gap.
    pairs = pairs.keep(suites) if suites.any() else pairs
    rows, notes = _without_missing(pairs, method)
    notes = [*beside, *notes]
    joined = rows.merge(measured.drop(columns="method"), on=ROW_KEYS, how="left", validate="1:1")
    undefined = joined["retention"].isna().groupby(np.arange(len(joined)) // 2).transform("any")
    notes += [
        f"{method}: pair {left} + {right} of suite {suite!r} left out: no defined outcome"
        for suite, left, right in joined.loc[undefined, PAIR_KEYS].drop_duplicates().to_numpy()
    ]
    in_table = set(pairs.frame[PAIR_KEYS].itertuples(index=False, name=None))
    notes += [
        f"{method}: pair {left} + {right} of suite {suite!r} left out: not in the pair table"
        for suite, left, right in measured[PAIR_KEYS].drop_duplicates().to_numpy()
        if (suite, left, right) not in in_table
    ]
    kept = joined[~undefined].reset_index(drop=True)
    if kept.empty:
        raise TableError(
            f"outcomes table, method {method!r}",
            "no pair has both metrics and a defined outcome",
            "check that both tables name the same pairs",
        )
    metrics = [c for c in rows.columns if c not in (*ROW_KEYS, "partner")]
    return TrainingRows(
        X=kept[[*IDENTITY, *metrics]],
        y=kept["retention"].to_numpy(dtype="float64"),
        keys=kept[ROW_KEYS],
        notes=notes,
    )
