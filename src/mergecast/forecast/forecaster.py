"""The Forecaster: fitted on merges that were done, it says what others would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import pandas as pd

from mergecast.errors import UndefinedError, UsageError
from mergecast.forecast.choice import AUTO, candidates
from mergecast.forecast.domain import with_domain
from mergecast.forecast.file import (
    VERSION,
    ForecasterFile,
    MethodModel,
    Training,
    read_forecaster,
    write_forecaster,
)
from mergecast.forecast.fit import FitUnit, fit_unit
from mergecast.forecast.intervals import LEVEL
from mergecast.forecast.measured import with_measured
from mergecast.forecast.measured_beside import beside_measured
from mergecast.forecast.method_forecast import bounded, forecast_rows
from mergecast.forecast.recommend import THRESHOLD, recommend
from mergecast.forecast.result import Forecast
from mergecast.forecast.rows import ABSTAINED, kin
from mergecast.forecast.shipped import find_forecaster
from mergecast.forecast.training import training_rows
from mergecast.forecast.validation.evaluation import Evaluation
from mergecast.runtime.progress import Progress, Silent
from mergecast.runtime.workers import WORTH, Workers
from mergecast.tables.outcomes import OutcomesLike, as_outcomes
from mergecast.tables.pairs import PairsLike, as_pairs
from mergecast.tables.table import joined_versions
from mergecast.version import __version__


class Forecaster:
    """Retention forecasts for pairs of models never seen.

    One model for each merging method and tier of evidence: a pair table is read by the models of
    the richest tier whose metrics it has, and a member that lacks some by those of a cheaper one.
    There may be a *warm* one beside it, for models whose merges with others were measured.

    Parameters
    ----------
    file : ForecasterFile
        Everything it knows, as it is stored.
    name : str
        What it is called: its file, or its shipped name.

    Examples
    --------
    >>> import mergecast as mc
    >>> sorted(Forecaster.load("suites").file.methods)[:3]
    ['dare', 'della', 'isotropic']
    >>> pairs, outcomes = mc.load_run("runs/toy")
    >>> path = Forecaster.fit(pairs, outcomes, "ridge").save("toy.json")
    >>> len(Forecaster.load(path).forecast(pairs).pairs)
    15
    """

    def __init__(self, file: ForecasterFile, name: str = "forecaster in memory") -> None:
        self.file = file
        self.name = name

    @classmethod
    def fit(
        cls,
        pairs: PairsLike,
        outcomes: OutcomesLike,
        predictor: str = AUTO,
        progress: Progress | None = None,
        validation: Evaluation | None = None,
        cheaper: bool = True,
        warm: bool = True,
        workers: int = 1,
    ) -> Self:
        """Learn from the pairs of one or more suites, for each tier of evidence in the table.

        Parameters
        ----------
        pairs : PairTable or DataFrame
            Metrics.
        outcomes : OutcomeTable or DataFrame
            What the merges did.
        predictor : str
            ``auto``: for each method the one of least mean absolute error with both tasks left out
            (L2TO), since a forecast is asked for models that were never seen; or the name of one
            that can be stored; or of a warm one, as ``additive_plus_warm``: ``auto``, and the warm
            models whatever their error.
        progress : Progress, optional
            Told of every method and tier done.
        validation : Evaluation, optional
            An ``l2to`` evaluation of the same tables, by the same predictors at least; its held-out
            forecasts are used for the richest tier and not made again, which takes most of the
            time.
        cheaper : bool
            Fit the cheaper tiers of the table too, for forecasts from less evidence.
        warm : bool
            Store, beside each chosen model, the one for pairs with a model whose outcomes are
            known (see `forecast`), where it has the lower error with one task left out (LOTO).
        workers : int
            Processes; the numbers do not depend on it.

        Raises
        ------
        TableError, UsageError
            As `training_rows`; an unknown predictor; fewer than four tasks; a validation that is
            not of these pairs.
        """
        candidates(predictor)  # an unknown name is told before any work
        pairs, outcomes = as_pairs(pairs), as_outcomes(outcomes)
        names = pairs.tier_names if cheaper else pairs.tier_names[-1:]
        data = {tier: training_rows(pairs.up_to(tier), outcomes) for tier in names}
        units = [
            FitUnit(
                tier,
                method,
                rows,
                predictor,
                warm,
                validation if tier == names[-1] else None,
                kinds=len({kin(suite) for suite in pairs.suites}),
            )
            for tier, methods in data.items()
            for method, rows in methods.items()
        ]
        with Workers(workers, worth=WORTH) as pool:
            fits = pool.map(fit_unit, units, (progress or Silent()).stage("fitting", len(units)))
        tiers: dict[str, dict[str, MethodModel]] = {tier: {} for tier in names}
        warm_tiers: dict[str, dict[str, MethodModel]] = {}
        for unit, (cold, beside) in zip(units, fits, strict=True):
            tiers[unit.tier][unit.method] = cold
            if beside is not None:
                warm_tiers.setdefault(unit.tier, {})[unit.method] = beside
        tiers = _distinct(tiers)
        warm_tiers = {tier: models for tier, models in warm_tiers.items() if tier in tiers}
        notes = dict.fromkeys(
            note for unit in units if unit.tier in tiers for note in unit.rows.notes
        )
        keys = pd.concat([unit.rows.keys for unit in units])
        training = Training(
            suites=sorted(keys["suite"].unique()),
            tasks=sorted(keys["member"].unique()),
            notes=list(notes),
            versions=joined_versions([pairs, outcomes]),
        )
        return cls(
            ForecasterFile(
                schema_version=VERSION,
                mergecast_version=__version__,
                training=training,
                tiers={tier: with_domain(models) for tier, models in tiers.items()},
                warm=warm_tiers,
            )
        )

    def forecast(
        self,
        pairs: PairsLike,
        *,
        level: float = LEVEL,
        threshold: float = THRESHOLD,
        suite: str | None = None,
        measured: OutcomesLike | None = None,
    ) -> Forecast:
        """Forecast every pair under every method.

        Parameters
        ----------
        pairs : PairTable or DataFrame
            Metrics of new models.
        level : float
            Nominal level of the intervals, one that the file has (0.5, 0.8, 0.9, 0.95).
        threshold : float
            Advise against merging where the best method's worst member keeps less.
        suite : str, optional
            A training suite: a model of the table whose label is that of a model of this suite *is*
            that model, and what its merges did is used for its other pairs, where the file has a
            warm model. For rows whose suite is this one, or ``""``. Without it no outcome of a
            single model is used, whatever the labels: only the caller can know.
        measured : OutcomeTable or DataFrame, optional
            What merges of these models did, by label: measured pairs are given as measured, less
            their noise, and all other forecasts are moved by what they have in common with them.

        Raises
        ------
        TableError
            The table breaks its schema.
        UsageError
            A level that the file lacks, a suite it was not fitted on, no measured merge that can be
            used.
        UndefinedError
            Nothing can be forecast: every method misses a metric it needs, for every pair.
        """
        checked = as_pairs(pairs)
        if suite is not None:
            if suite not in self.file.training.suites:
                raise UsageError.unknown("suite", suite, self.file.training.suites)
            checked = checked.with_suite(suite)
        tier = self.file.tier_for(c for c in checked.metrics if checked.frame[c].notna().any())
        models = self.file.tiers[tier]
        rows = forecast_rows(self.file, tier, checked, level, suite)
        use = beside = None
        if measured is not None:
            known = as_outcomes(measured)
            most = {name: entry.most_kept for name, entry in models.items()}
            beside = beside_measured(rows, known, level, most)
            rows, use = with_measured(rows, known, level)
            rows = bounded(rows, most)
        if rows["retention"].isna().all() and not (rows["basis"] == ABSTAINED).any():
            raise UndefinedError(
                "forecast",
                f"no method can be forecast: {rows['note'].iloc[0]}",
                "compute the metrics that the forecaster was fitted on",
            )
        advice, file, name = recommend(rows, threshold), self.file, self.name
        made = Forecast(
            rows, advice, level, threshold, tier, checked, file, suite, name, use, beside=beside
        )
        return replace(made, warnings=(use.doubt,)) if use is not None and use.doubt else made

    def only(self, methods: Sequence[str]) -> Self:
        """The forecaster of these merging methods alone; raises UsageError for one it lacks."""
        for name in methods:
            if name not in self.file.methods:
                if "(" in name:
                    raise UsageError(
                        f"recipe {name}",
                        f"was never fitted by {self.name} (there: {', '.join(self.file.methods)})",
                        "fit on outcomes of merges by it; other strengths are other merges",
                    )
                raise UsageError.unknown("method", name, self.file.methods)
        tiers, warm = (
            {
                tier: {name: model for name, model in models.items() if name in methods}
                for tier, models in side.items()
            }
            for side in (self.file.tiers, self.file.warm)
        )
        return type(self)(self.file.model_copy(update={"tiers": tiers, "warm": warm}), self.name)

    def reads(self, tier: str, *, warm: bool = False) -> set[str]:
        """Names of the metrics that forecasts from a tier read; from any where it has no such tier.

        Parameters
        ----------
        tier : str
            The evidence.
        warm : bool
            Count in those of the models that know outcomes.
        """
        sides = [self.file.tiers, *([self.file.warm] if warm else [])]
        read = [
            models
            for tiers in sides
            for models in ([tiers[tier]] if tier in tiers else tiers.values())
        ]
        entries = [model for models in read for model in models.values()]
        return {name for entry in entries for name in (*entry.needs, *entry.watched)}

    def save(self, path: str | Path) -> Path:
        """Write the forecaster as JSON, atomically; raises ResourceError."""
        return write_forecaster(self.file, path)

    @classmethod
    def load(cls, source: str | Path | None = None) -> Self:
        """Read a forecaster.

        Parameters
        ----------
        source : str or Path, optional
            A file, or the name of one that comes with the package; by default ``suites``. What
            exists, has a suffix or a folder in it is a file; all else is a name.

        Raises
        ------
        UsageError
            A file that is none, a name that is unknown.
        ResourceError
            The file cannot be read.
        """
        name, path = find_forecaster(source)
        return cls(read_forecaster(path), name)


def _distinct(tiers: dict[str, dict[str, MethodModel]]) -> dict[str, dict[str, MethodModel]]:
    """The tiers, cheapest first, without those whose fits are what a cheaper one's are already."""
    kept: dict[str, dict[str, MethodModel]] = {}
    for tier, models in tiers.items():
        before = kept[next(reversed(kept))] if kept else {}
        if not before or any(models[name].model != before[name].model for name in models):
            kept[tier] = models
    return kept
