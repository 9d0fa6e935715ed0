"""Where a forecaster knows what it says: the training range of the metrics that its fits read.

A metric outside its training range widens the interval. Where one that any fit of the tier reads,
under whatever merging method, lies further outside than its range is wide, the pair is out of the
forecaster's domain, and there is no number. Metrics whose effect fades out with distance do not
count: they leave the number to the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mergecast.forecast.file import MethodModel
from mergecast.forecast.rows import member_rows
from mergecast.tables.pairs import PAIR_KEYS, PairTable

WIDEST = 1.0
"""How far outside its training range a metric may lie, in widths of that range."""

# A metric recomputed on the training pairs may differ in its last digits.
_SLACK = 1e-9
# Metrics that a sentence names.
_NAMED = 3


@dataclass(frozen=True)
class Outlier:
    """A metric of a row outside its training range [low, high], `distance` widths of it away."""

    distance: float
    metric: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.metric} is {self.value:.4g}, in training {self.low:.4g} to {self.high:.4g}"


def with_domain(models: Mapping[str, MethodModel]) -> dict[str, MethodModel]:
    """The fits of one tier, each with the metrics that all of them read as its domain."""
    read = {name for entry in models.values() for name in entry.watched}
    return {
        method: entry.model_copy(
            update={"domain": [f.name for f in entry.features if f.name in read]}
        )
        for method, entry in models.items()
    }


def outliers(entry: MethodModel, rows: pd.DataFrame, names: Collection[str]) -> list[list[Outlier]]:
    """For each row the metrics outside their training range, farthest first.

    Parameters
    ----------
    entry : MethodModel
        A fit.
    rows : DataFrame
        Member rows of the fit's merging method.
    names : collection of str
        Metrics to look at. One that was constant in training moves no number and is passed over.
    """
    outside: list[list[Outlier]] = [[] for _ in range(len(rows))]
    for feature in entry.features:
        width = feature.high - feature.low
        if feature.name not in names or feature.name not in rows.columns or width == 0:
            continue
        column = rows[feature.name].to_numpy(dtype="float64")
        slack = _SLACK * max(width, abs(feature.low), abs(feature.high))
        excess = np.maximum(column - feature.high, feature.low - column)
        for row in np.flatnonzero(excess > slack):
            distance, value = float(excess[row] / width), float(column[row])
            found = Outlier(distance, feature.name, value, feature.low, feature.high)
            outside[row].append(found)
    return [sorted(row, key=lambda one: (-one.distance, one.metric)) for row in outside]


def strangers(entry: MethodModel, rows: pd.DataFrame) -> list[list[Outlier]]:
    """For each row the metrics that put its pair out of the fit's domain, the farthest first.

    Those of both members count for either. Arguments as of `outliers`.
    """
    found = outliers(entry, rows, entry.watched)
    far = [[one for one in row if one.distance > WIDEST] for row in found]
    pairs = pd.Series(rows[PAIR_KEYS].itertuples(index=False, name=None), dtype=object)
    of_pair: dict[object, set[Outlier]] = {}
    for pair, row in zip(pairs, far, strict=True):
        of_pair.setdefault(pair, set()).update(row)
    return [sorted(of_pair[pair], key=lambda one: (-one.distance, one.metric)) for pair in pairs]


def abstentions(
    rows: pd.DataFrame, pairs: PairTable, models: Mapping[str, MethodModel]
) -> list[str]:
    """The metrics that put pairs out of a forecaster's domain, farthest first.

    Parameters
    ----------
    rows : DataFrame
        Columns `PAIR_KEYS` and `method`: what there is no number for.
    pairs : PairTable
        The metrics that were read.
    models : mapping of str to MethodModel
        The fits that read them, by method.

    Returns
    -------
    list of str
        For three metrics at most, what they are and what they were in training; how many more.
    """
    spans: dict[tuple[str, float, float], list[Outlier]] = {}
    for method, table in rows.groupby("method", sort=True):
        wanted = set(table[PAIR_KEYS].itertuples(index=False, name=None))
        members = member_rows(pairs, str(method))
        keys = members[PAIR_KEYS].itertuples(index=False, name=None)
        for pair, found in zip(keys, strangers(models[str(method)], members), strict=True):
            for one in found if pair in wanted else []:
                spans.setdefault((one.metric, one.low, one.high), []).append(one)
    farthest = sorted(spans.values(), key=lambda found: -max(one.distance for one in found))
    said = {found[0].metric: _span(found) for found in reversed(farthest)}
    texts = list(reversed(said.values()))
    more = len(texts) - _NAMED
    return texts[:_NAMED] + ([f"{more} more metrics"] if more > 0 else [])


def _span(found: Iterable[Outlier]) -> str:
    """One metric over the rows where it lies too far outside."""
    by_value = sorted(found, key=lambda one: one.value)
    first, last = by_value[0], by_value[-1]
    value = f"{first.value:.4g}"
    if f"{last.value:.4g}" != value:
        value += f" to {last.value:.4g}"
    return f"{first.metric} is {value}, in training {first.low:.4g} to {first.high:.4g}"
