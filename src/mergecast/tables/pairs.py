"""The pair table: one row a pair of models, one float column a metric key.

Columns `suite, left, right` with left < right, then metrics. A directed metric stands as two
columns, ``<key>:left<-right`` (the effect on left of right) and ``<key>:right<-left``. A key
``<name>@<method>`` is about one merging method, and says nothing of the others. A value that is not
defined is NaN; ``df.attrs["missing"]`` says why, as a list of
``{"left", "right", "key", "reason"}`` (with ``"suite"`` where several suites share a table), and
``df.attrs["tiers"]`` which tier of evidence each metric column came from (`tables.tiers`).
"""

from __future__ import annotations

import pandas as pd

from mergecast.tables.schema import (
    float_column,
    refuse,
    refuse_duplicates,
    require_columns,
    text_column,
)
from mergecast.tables.tiers import ABOUT

PAIR_KEYS = ["suite", "left", "right"]
ON_LEFT = ":left<-right"
ON_RIGHT = ":right<-left"
NO_REASON = "no reason recorded"


def validate_pairs(pairs: pd.DataFrame, table: str = "pairs") -> pd.DataFrame:
    """A checked copy of a pair table: text keys first, float64 metrics, index 0..n-1.

    Parameters
    ----------
    pairs : frame with the columns named above; row order is free and kept.
    table : the name that errors give the table.

    Raises
    ------
    TableError
        A missing or repeated column, an unsorted or duplicate pair, a name that is not text, a
        metric that is not a finite number or NaN, half of a directed metric, no rows.
    """
    require_columns(pairs, PAIR_KEYS, table)
    df = pairs.reset_index(drop=True)
    metrics = metric_columns(df)
    _check_directions(metrics, table)
    columns = {key: text_column(df, key, table, empty=key == "suite") for key in PAIR_KEYS}
    columns |= {key: float_column(df, key, table, missing=True) for key in metrics}
    checked = pd.DataFrame(columns)
    if checked.empty:
        refuse(table, "left", "the table has no rows", "give at least one pair")
    for row, (left, right) in enumerate(zip(checked["left"], checked["right"], strict=True)):
        if not left < right:
            refuse(
                table,
                "left",
                f"pair ({left!r}, {right!r}) is not sorted",
                "store each pair once, with left < right",
                row,
            )
    refuse_duplicates(checked, PAIR_KEYS, table)
    checked.attrs["missing"] = [
        {str(k): str(v) for k, v in entry.items()} for entry in pairs.attrs.get("missing", [])
    ]
    if "tiers" in pairs.attrs:
        checked.attrs["tiers"] = {str(k): str(v) for k, v in pairs.attrs["tiers"].items()}
    return checked


def metric_columns(pairs: pd.DataFrame) -> list[str]:
    """The columns of a pair table that are metrics, in table order."""
    return [str(column) for column in pairs.columns if column not in PAIR_KEYS]


def features_of(pairs: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Feature name to its two columns: (as the left member sees it, as the right one does).

    A symmetric metric has one column for both. Sorted by name, so that no result depends on the
    order of columns. Metrics of single methods keep their ``@<method>``; see `method_features`.
    """
    features: dict[str, tuple[str, str]] = {}
    for column in metric_columns(pairs):
        if column.endswith(ON_LEFT):
            key = column.removesuffix(ON_LEFT)
            features[key] = (column, key + ON_RIGHT)
        elif not column.endswith(ON_RIGHT):
            features[column] = (column, column)
    return dict(sorted(features.items()))


def method_features(pairs: pd.DataFrame, method: str) -> dict[str, tuple[str, str]]:
    """The features that say something of one merging method, as `features_of`.

    Those about another method are left out, and those about this one lose their ``@<method>``, so
    that a metric has one name whatever the method.

    Raises TableError where a name then stands twice.
    """
    found: dict[str, tuple[str, str]] = {}
    for key, columns in features_of(pairs).items():
        name, _, about = key.partition(ABOUT)
        if about in ("", method):
            if name in found:
                refuse("pairs", key, f"there is a metric {name!r} too", "rename one of them")
            found[name] = columns
    return dict(sorted(found.items()))


def missing_reasons(pairs: pd.DataFrame) -> dict[tuple[str, str, str, str], str]:
    """(suite, left, right, column) to the recorded reason; suite "" holds for every suite."""
    return {
        (entry.get("suite", ""), entry["left"], entry["right"], entry["key"]): entry["reason"]
        for entry in pairs.attrs.get("missing", [])
    }


def _check_directions(metrics: list[str], table: str) -> None:
    names = set(metrics)
    for column in metrics:
        for here, there in ((ON_LEFT, ON_RIGHT), (ON_RIGHT, ON_LEFT)):
            if not column.endswith(here):
                continue
            key = column.removesuffix(here)
            if key + there not in names:
                refuse(
                    table,
                    column,
                    f"directed metric without its other half {key + there!r}",
                    "store both directions",
                )
            if key in names:
                refuse(
                    table,
                    column,
                    f"metric {key!r} stands both as symmetric and as directed",
                    "rename one of them",
                )
