"""The Forecaster: fitted on merges that were done, it says what others would do."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import pandas as pd

from mergecast.errors import UndefinedError, UsageError
from mergecast.forecast.file import (
    SCHEMA,
    VERSION,
    ForecasterFile,
    MethodModel,
    Training,
    read_forecaster,
    write_forecaster,
)
from mergecast.forecast.fit import CANDIDATES, WARM, FitUnit, candidates, fit_unit
from mergecast.forecast.intervals import LEVEL
from mergecast.forecast.method_forecast import forecast_method, where_known
from mergecast.forecast.result import THRESHOLD, Forecast, recommend
from mergecast.forecast.training import training_rows
from mergecast.forecast.validation.evaluation import Evaluation, Progress
from mergecast.runtime.progress import counted
from mergecast.runtime.workers import Workers
from mergecast.tables.pairs import metric_columns, validate_pairs
from mergecast.tables.tiers import tiers_of, up_to
from mergecast.version import __version__

__all__ = ["CANDIDATES", "Forecaster"]


class Forecaster:
    """Retention forecasts for pairs of models never seen.

    One model for each merging method and tier of evidence: a pair table is read by the models of
    the richest tier whose metrics it has. Beside it there may be a *warm* one, for pairs with a
    model whose merges with others were measured.

    Attributes
    ----------
    file : everything it knows, as it is stored.

    Examples
    --------
    >>> pairs, outcomes = load_run("runs/digits")                              # doctest: +SKIP
    >>> Forecaster.fit(pairs, outcomes).save("digits.json")                    # doctest: +SKIP
    >>> Forecaster.load("digits.json").forecast(new_pairs).pairs               # doctest: +SKIP
    """

    def __init__(self, file: ForecasterFile) -> None:
        self.file = file

    @classmethod
    def fit(
        cls,
        pairs: pd.DataFrame,
        outcomes: pd.DataFrame,
        predictor: str = "auto",
        progress: Progress | None = None,
        validation: Evaluation | None = None,
        cheaper: bool = True,
        warm: bool = True,
        workers: int = 1,
    ) -> Self:
        """Learn from the pairs of one or more suites, for each tier of evidence in the table.

        Parameters
        ----------
        pairs, outcomes : tables as in `mergecast.tables`.
        predictor : one of `CANDIDATES`, or ``auto``: for each method the one of least mean absolute
            error with both tasks left out (L2TO), since a forecast is asked for models that were
            never seen; or ``additive_plus``; or ``additive_plus_warm``: ``auto``, and the warm
            models whatever their error.
        progress : called with (methods and tiers done, in all).
        validation : an ``l2to`` evaluation of the same tables, by the same predictors at least;
            its held-out forecasts are used for the richest tier and not made again, which takes
            most of the time.
        cheaper : fit the cheaper tiers of the table too, for forecasts from less evidence.
        warm : store, beside each chosen model, the one for pairs with a model whose outcomes are
            known (see `forecast`), where it has the lower error with one task left out (LOTO).
        workers : processes; the numbers do not depend on it.

        Raises
        ------
        TableError, UsageError
            As `training_rows`; an unknown predictor; fewer than four tasks; a validation that is
            not of these pairs.
        """
        names = candidates(predictor)
        there = tiers_of(pairs) if cheaper else tiers_of(pairs)[-1:]
        data = {tier: training_rows(up_to(pairs, tier), outcomes) for tier in there}
        beside = WARM if predictor == WARM else "where it helps" if warm else ""
        units = [
            FitUnit(tier, method, rows, names, validation if tier == there[-1] else None, beside)
            for tier, methods in data.items()
            for method, rows in methods.items()
        ]
        with Workers(workers) as pool:
            found = pool.map(fit_unit, units, counted(progress, len(units)))
        tiers: dict[str, dict[str, MethodModel]] = {tier: {} for tier in there}
        warm_tiers: dict[str, dict[str, MethodModel]] = {}
        for unit, (chosen, known) in zip(units, found, strict=True):
            tiers[unit.tier][unit.method] = chosen
            if known is not None:
                warm_tiers.setdefault(unit.tier, {})[unit.method] = known
        notes = dict.fromkeys(note for unit in units for note in unit.rows.notes)
        keys = pd.concat([unit.rows.keys for unit in units])
        return cls(
            ForecasterFile(
                schema_name=SCHEMA,
                schema_version=VERSION,
                mergecast_version=__version__,
                target="retention",
                protocol="l2to",
                training=Training(
                    suites=sorted(keys["suite"].unique()),
                    tasks=sorted(keys["member"].unique()),
                    notes=list(notes),
                ),
                tiers=tiers,
                warm=warm_tiers,
            )
        )

    def forecast(
        self,
        pairs: pd.DataFrame,
        *,
        level: float = LEVEL,
        threshold: float = THRESHOLD,
        suite: str | None = None,
    ) -> Forecast:
        """Forecast every pair under every method.

        Parameters
        ----------
        pairs : a pair table of new models.
        level : nominal level of the intervals, one that the file has (0.5, 0.8, 0.9, 0.95).
        threshold : advise against merging where the best method's worst member keeps less.
        suite : a training suite: a model of the table whose label is that of a model of this suite
            *is* that model, and what its merges did is used for its other pairs, where the file
            has a warm model. For rows whose suite is this one, or ``""``. Without it no outcome of
            a single model is used, whatever the labels: only the caller can know.

        Raises
        ------
        TableError
            The table breaks its schema.
        UsageError
            A level that the file lacks, a suite it was not fitted on.
        UndefinedError
            Nothing can be forecast: every method misses a metric it needs, for every pair.
        """
        checked = validate_pairs(pairs)
        if suite is not None:
            checked = _as_suite(checked, suite, self.file)
        there = [key for key in metric_columns(checked) if checked[key].notna().any()]
        tier = self.file.tier_for(there)
        warm = self.file.warm.get(tier, {})
        tables = []
        for method, model in sorted(self.file.tiers[tier].items()):
            table = forecast_method(method, model, checked, level, suite)
            if suite is not None and method in warm:
                known = forecast_method(method, warm[method], checked, level, suite)
                table = where_known(table, known, warm[method], suite)
            tables.append(table)
        rows = pd.concat(tables, ignore_index=True)
        rows = rows.sort_values(["suite", "left", "right", "method"], kind="stable")
        rows = rows.reset_index(drop=True)
        if rows["retention"].isna().all():
            raise UndefinedError(
                "forecast",
                f"no method can be forecast: {rows['note'].iloc[0]}",
                "compute the metrics that the forecaster was fitted on",
            )
        return Forecast(rows, recommend(rows, threshold), level, threshold, tier)

    def save(self, path: str | Path) -> Path:
        """Write the forecaster as JSON, atomically; raises ResourceError."""
        return write_forecaster(self.file, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a forecaster; a file that is none raises UsageError."""
        return cls(read_forecaster(path))


def _as_suite(pairs: pd.DataFrame, suite: str, file: ForecasterFile) -> pd.DataFrame:
    """The table with its models declared to be those of a training suite."""
    if suite not in file.training.suites:
        raise UsageError.unknown("suite", suite, file.training.suites)
    named = pairs.assign(suite=pairs["suite"].replace("", suite))
    named.attrs = pairs.attrs
    return validate_pairs(named)
