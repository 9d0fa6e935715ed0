"""Member rows: one row a (suite, pair, member), each metric as that member sees it.

The frame X that estimators get has three identity columns, `suite, member, partner` (text), and
one float column a metric. A symmetric metric has the same value in both rows of a pair; of a
directed one, each member sees the effect *on itself*. Metrics about another merging method than the
rows' own are left out. The prediction for a pair is the mean over its two members, as its outcome
is.

Estimators also take arrays, as scikit-learn's do. Nothing then says which rows share a model: each
row counts as a pair of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mergecast.tables.pairs import NO_REASON, PAIR_KEYS, PairTable
from mergecast.typing import Floats

IDENTITY = ["suite", "member", "partner"]
ROW_KEYS = ["suite", "left", "right", "member"]
#: What a forecast of a row rests on.
COLD, WARM, FAMILY, MEASURED, ABSTAINED = "cold", "warm", "family", "measured", "abstained"

Codes = npt.NDArray[np.intp]


def kin(suite: str) -> str:
    """Whose models are of one kind: a suite's name up to the first slash."""
    return suite.partition("/")[0]


def kin_weights(X: Any, n: int) -> Floats:
    """Weights of n rows, mean 1, by which every kind of models counts as much as any other, (n,).

    From the identity columns; rows without count alike.
    """
    if not isinstance(X, pd.DataFrame) or "suite" not in X.columns:
        return np.ones(n)
    _, codes, counts = np.unique(
        [kin(name) for name in X["suite"]], return_inverse=True, return_counts=True
    )
    return np.asarray(n / (counts[codes] * len(counts)))


def member_rows(pairs: PairTable, method: str) -> pd.DataFrame:
    """The pair table seen from each member, with the metrics that say something of `method`.

    Returns DataFrame[suite, left, right, member, partner, metrics...] with two rows a pair, left's
    before right's, pairs sorted by (suite, left, right).
    """
    features = pairs.method_features(method)
    ordered = pairs.frame.sort_values(PAIR_KEYS, ignore_index=True)
    views = []
    for side, member, partner in ((0, "left", "right"), (1, "right", "left")):
        view = ordered[PAIR_KEYS].copy()
        view["member"], view["partner"] = ordered[member], ordered[partner]
        metrics = pd.DataFrame({key: ordered[columns[side]] for key, columns in features.items()})
        views.append(pd.concat([view, metrics], axis=1))
    return pd.concat(views).sort_index(kind="stable").reset_index(drop=True)


def reason_missing(
    pairs: PairTable, suite: str, left: str, right: str, key: str, method: str = ""
) -> str:
    """Why feature `key` of a pair is NaN under a method, as the metrics room recorded it.

    Without a method, of the features that are about none.
    """
    columns = pairs.method_features(method).get(key, (key, key))
    return reason_of(pairs, (suite, left, right), columns)


def reason_of(pairs: PairTable, pair: tuple[str, str, str], columns: tuple[str, ...]) -> str:
    """The first recorded reason of some columns of a pair (suite, left, right)."""
    reasons = [pairs.reason(*pair, column) for column in columns]
    return next((reason for reason in reasons if reason != NO_REASON), NO_REASON)


def without_identity(X: Any) -> Any:
    """X without its identity columns (arrays have none)."""
    if isinstance(X, pd.DataFrame):
        return X.drop(columns=[column for column in IDENTITY if column in X.columns])
    return X


def with_identity(X: Any, values: Floats) -> Any:
    """`values` (n, p) beside the identity columns of X (n rows), where X has any."""
    if not isinstance(X, pd.DataFrame):
        return values
    named = X[[column for column in IDENTITY if column in X.columns]]
    columns = [f"x{k}" for k in range(values.shape[1])]
    return pd.concat([named, pd.DataFrame(values, X.index, columns)], axis=1)


def names_models(X: Any) -> bool:
    """Whether rows say which models they are of."""
    return isinstance(X, pd.DataFrame) and set(IDENTITY) <= set(X.columns)


def task_groups(X: Any, n: int) -> npt.NDArray[np.str_]:
    """The two tasks of each of n rows, from the identity columns; else two tasks of its own."""
    if isinstance(X, pd.DataFrame) and {"member", "partner"} <= set(X.columns):
        return X[["member", "partner"]].to_numpy(dtype=str)
    return np.arange(2 * n).reshape(n, 2).astype(str)


def pair_codes(X: Any, n: int) -> Codes:
    """Which pair each of n rows belongs to, (n,), counted from 0 in sorted order.

    From the identity columns where X has them; otherwise each row is a pair of its own.
    """
    if not names_models(X):
        return np.arange(n)
    member, partner = X["member"].to_numpy(dtype=str), X["partner"].to_numpy(dtype=str)
    swap = member > partner
    first, second = np.where(swap, partner, member), np.where(swap, member, partner)
    frame = pd.DataFrame({"suite": X["suite"].to_numpy(dtype=str), "left": first, "right": second})
    return np.asarray(frame.groupby(["suite", "left", "right"], sort=True).ngroup(), dtype=np.intp)


def mean_by_code(values: Floats, codes: Codes) -> Floats:
    """Mean of the rows of each code: (n,) to (n_codes,), (n, p) to (n_codes, p)."""
    count = np.bincount(codes)
    if values.ndim == 1:
        return np.asarray(np.bincount(codes, weights=values) / count)
    sums = np.zeros((len(count), values.shape[1]))
    np.add.at(sums, codes, values)
    return np.asarray(sums / count[:, None])
