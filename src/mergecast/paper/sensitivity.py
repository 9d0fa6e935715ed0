"""What changes when metrics are measured on more or fewer calibration samples.

A metric that reads samples is an estimate. Its values at two sizes say how noisy it is, and the
same fits on both how much of their score hangs on the size. Seeds are the other free choice of a
fit that draws numbers; its spread stands beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from pathlib import Path

import pandas as pd

from mergecast.analysis.audit import WARNING, AuditFinding
from mergecast.analysis.variance import keyed_metrics
from mergecast.errors import TableError, UsageError
from mergecast.forecast.estimators.predictors import PREDICTORS
from mergecast.forecast.training import training_rows
from mergecast.forecast.validation.protocols import PROTOCOLS, out_of_fold
from mergecast.forecast.validation.scoring import pearson, scores, spearman
from mergecast.forecast.validation.uncertainty import seed_spread
from mergecast.paper.metrics import calibration_tables
from mergecast.paper.results import results_folder
from mergecast.runtime.progress import Progress, Silent
from mergecast.tables.outcomes import OutcomesLike, as_outcomes
from mergecast.tables.pairs import PAIR_KEYS, PairsLike, PairTable, as_pairs
from mergecast.tables.schema import about

# Samples a task behind the main tables of arXiv 2601.22285.
PUBLISHED_SIZE = 10
PREDICTORS_COMPARED = ("paper", "ridge", "lasso")
# Below this r, less than half of a metric's spread is common to two measurements of it.
_RELIABLE = 0.5
_NUMBERS = ["per_fold_r", "pooled_r", "mae"]
_FIT_COLUMNS = ["size", "predictor", "method", "n_pairs", *_NUMBERS, "per_fold_r_seed_sd"]
_METRIC_COLUMNS = ["metric", "first", "second", "n_pairs", "r", "rho", "mean_ratio"]


@dataclass(frozen=True)
class Sensitivity:
    """What a calibration size changes.

    Attributes
    ----------
    metrics : DataFrame
        `metric, first, second, n_pairs, r, rho, mean_ratio`, one row a metric and two sizes
        (first < second): Pearson's and Spearman's correlation over the pairs that have both, and
        mean of |second| over mean of |first|.
    fits : DataFrame
        `size, predictor, method, n_pairs, per_fold_r, pooled_r, mae, per_fold_r_seed_sd`, every
        size on the same pairs; empty where fits were not asked for.
    """

    metrics: pd.DataFrame
    fits: pd.DataFrame


def published_sizes(results: str | Path, setting: str, pairs: PairTable) -> dict[int, PairTable]:
    """Calibration size to the whole pair table of a published setting at that size.

    Metrics that read no samples are those of `pairs`, the setting's own table (size 10); so are its
    pairs. Empty where the setting has no sensitivity folder.

    Raises
    ------
    TableError
        A file is damaged, or lacks a pair.
    """
    measured = calibration_tables(results_folder(results), setting)
    if not measured:
        return {}
    if PUBLISHED_SIZE in measured:
        raise TableError(
            f"setting {setting}",
            f"calibration size {PUBLISHED_SIZE} stands twice: it is that of the main table",
            "remove its folder",
        )
    sizes = {size: _replaced(pairs, table, size) for size, table in measured.items()}
    return dict(sorted({**sizes, PUBLISHED_SIZE: pairs}.items()))


def calibration_sensitivity(
    tables: Mapping[int, PairsLike],
    outcomes: OutcomesLike | None = None,
    predictors: Sequence[str] = PREDICTORS_COMPARED,
    protocol: str = "loto",
    methods: Sequence[str] | None = None,
    seeds: int = 1,
    progress: Progress | None = None,
) -> Sensitivity:
    """Compare pair tables that were measured with different numbers of samples.

    Parameters
    ----------
    tables : Mapping[int, PairTable or DataFrame]
        Calibration size (samples a task) to pair table, two sizes at least; for example
        ``{16: mc.metrics(...), 64: mc.metrics(...)}``. A metric that one size lacks is compared
        between the others and takes no part in the fits.
    outcomes : OutcomeTable or DataFrame, optional
        Without them only the metrics are compared.
    predictors, protocol, methods
        Of the fits, as in `evaluate`.
    seeds : int
        Of predictors that draw numbers: scores are those of seed 0, their spread is over all.
    progress : Progress, optional
        Told of every fit done.

    Raises
    ------
    UsageError
        Fewer than two sizes, or an unknown name.
    TableError
        A table breaks its schema, or no pair or metric is in all of them.

    Examples
    --------
    >>> import pandas as pd
    >>> few = pd.DataFrame({"suite": ["s"] * 3, "left": list("abc"), "right": list("xyz")})
    >>> tables = {8: few.assign(m=[1.0, 2.0, 3.0]), 64: few.assign(m=[1.0, 2.0, 4.0])}
    >>> calibration_sensitivity(tables).metrics[["metric", "first", "second", "rho"]].values
    array([['m', 8, 64, 1.0]], dtype=object)
    """
    if len(tables) < 2:
        raise UsageError("calibration sizes", f"{len(tables)} given", "give tables of two sizes")
    checked: dict[int, PairTable] = {}
    for size, table in sorted(tables.items()):
        with about(f"size {size}"):
            checked[size] = as_pairs(table)
    metrics = _metrics(checked)
    if outcomes is None:
        return Sensitivity(metrics, pd.DataFrame(columns=_FIT_COLUMNS))
    compared, scheme = [PREDICTORS.get(name) for name in predictors], PROTOCOLS.get(protocol)
    measured, names = as_outcomes(outcomes), list(methods) if methods else None
    data = {size: training_rows(t, measured, names) for size, t in _common(checked).items()}
    fits = [
        (size, predictor, method, rows)
        for size, by_method in data.items()
        for predictor in compared
        for method, rows in by_method.items()
    ]
    advance = (progress or Silent()).stage("calibration sizes", len(fits))
    numbers = []
    for size, predictor, method, rows in fits:
        values = scores(out_of_fold(rows, predictor, scheme))
        values |= seed_spread(rows, predictor, scheme, seeds)
        head = {"size": size, "predictor": predictor.name, "method": method}
        numbers.append({**values, **head, "n_pairs": rows.n_pairs})
        advance(1)
    return Sensitivity(metrics, pd.DataFrame(numbers, columns=_FIT_COLUMNS))


def noisy_metrics(metrics: pd.DataFrame, size: int) -> list[AuditFinding]:
    """Metrics whose values at `size` hardly agree with those at the largest size.

    `metrics` as in `Sensitivity`; an r below 0.5 is a finding: most of such a metric's variation
    between pairs comes from which samples were drawn.
    """
    largest = int(metrics["second"].max())
    between = metrics[(metrics["first"] == size) & (metrics["second"] == largest)]
    return [
        AuditFinding(
            "calibration_noise",
            WARNING,
            # Adding 0.0 turns the negative zero that rounding leaves into 0.
            f"{row['metric']}: r {round(row['r'], 2) + 0.0:.2f} over {row['n_pairs']} pairs "
            f"between {size} and {largest} calibration samples: most of its variation is which "
            "samples were drawn",
        )
        for row in between[between["r"] < _RELIABLE].to_dict("records")
    ]


def _metrics(tables: Mapping[int, PairTable]) -> pd.DataFrame:
    values = {size: keyed_metrics(t).set_index(PAIR_KEYS) for size, t in tables.items()}
    rows = []
    for first, second in combinations(values, 2):
        for key in values[first].columns.intersection(values[second].columns, sort=False):
            both = pd.concat([values[first][key], values[second][key]], axis=1, join="inner")
            x, y = both.dropna().to_numpy(dtype=float).T
            scale = float(abs(x).mean()) if len(x) else 0.0
            ratio = float(abs(y).mean()) / scale if scale > 0 else float("nan")
            numbers = (len(x), pearson(x, y), spearman(x, y), ratio)
            rows.append([str(key), first, second, *numbers])
    return pd.DataFrame(rows, columns=_METRIC_COLUMNS)


def _common(tables: Mapping[int, PairTable]) -> dict[int, PairTable]:
    """Every table cut to the metrics and complete pairs of all, so that only the size differs."""
    shared = [set(table.metrics) for table in tables.values()]
    keys = [key for key in next(iter(tables.values())).metrics if key in set.intersection(*shared)]
    complete = [table.frame.set_index(PAIR_KEYS)[keys].dropna() for table in tables.values()]
    pairs = reduce(lambda a, b: a.intersection(b, sort=False), (table.index for table in complete))
    if not keys or pairs.empty:
        what = "pair with every metric" if keys else "metric"
        raise TableError(
            "pair tables", f"no {what} is in all {len(tables)} sizes", "measure the same family"
        )
    cut = (PairTable(table.loc[pairs].reset_index()) for table in complete)
    return dict(zip(tables, cut, strict=True))


def _replaced(pairs: PairTable, other: PairTable, size: int) -> PairTable:
    """`pairs` with the metrics that `other` has, from there."""
    indexed, source = (table.frame.set_index(PAIR_KEYS) for table in (pairs, other))
    absent = indexed.index.difference(source.index)
    if len(absent):
        _, left, right = absent[0]
        raise TableError(
            f"pairs table (size {size})", f"no pair {left} + {right}", "copy the whole folder"
        )
    shared = [key for key in other.metrics if key in pairs.metrics]
    indexed[shared] = source.loc[indexed.index, shared]
    return replace(pairs, frame=indexed.reset_index())
