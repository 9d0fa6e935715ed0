"""Fit every predictor again, on the published target and on the right one, by both protocols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mergecast.analysis.audit import raw_outcomes
from mergecast.errors import MergecastError
from mergecast.forecast.estimators.predictors import BASELINES, PREDICTORS, Predictor
from mergecast.forecast.training import TrainingRows, training_rows
from mergecast.forecast.validation.protocols import PROTOCOLS, out_of_fold
from mergecast.forecast.validation.scoring import mean_defined, paired_predictions, pearson, scores
from mergecast.paper.replay import NORMALIZED, RAW
from mergecast.paper.selection import Selection
from mergecast.runtime.progress import Progress, Silent
from mergecast.runtime.workers import WORTH, Workers
from mergecast.tables.pairs import PAIR_KEYS

_KEYS = ["predictor", "target", "protocol", "method"]
NUMBERS = ["per_fold_r", "pooled_r", "mae"]
REFIT_COLUMNS = [*_KEYS, *NUMBERS]

# Raw accuracy is fitted as the paper did, to reproduce it, and in no other way.
SCHEMES = ((RAW, "loto"), (NORMALIZED, "loto"), (NORMALIZED, "l2to"))

# What a first look needs: the paper's fit, its well-posed forms, the baselines, and the forecaster.
# The others (see `mergecast evaluate --help`) cost minutes and are named explicitly.
DEFAULT_PREDICTORS = (
    "constant",
    "partner_mean",
    "paper",
    "ridge",
    "lasso",
    "member_ridge",
    "distance_index",
    "additive_plus",
    "additive_plus_warm",
)


@dataclass(frozen=True, eq=False)
class _Unit:
    """One predictor, validated once: what a worker gets."""

    predictor: str
    target: str
    protocol: str
    method: str
    seed: int
    rows: TrainingRows


@dataclass(frozen=True)
class _Result:
    """What a worker gives back: scores, the predictions behind them, or why there are none."""

    numbers: dict[str, float]
    predictions: pd.DataFrame | None = None
    failure: str = ""


def default_predictors() -> list[str]:
    """The default predictors that are registered."""
    return [name for name in DEFAULT_PREDICTORS if name in PREDICTORS]


def report_name(predictor: Predictor) -> str:
    """The name in reports: a predictor that uses partners' known outcomes ends in ``_warm``.

    ``partner_mean`` says so by itself.
    """
    says_so = predictor.name.endswith("_warm") or predictor.name == "partner_mean"
    return f"{predictor.name}_warm" if predictor.warm and not says_so else predictor.name


def refit(
    selection: Selection,
    predictors: Sequence[str] | None = None,
    seeds: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Validate predictors on the selected pairs.

    Methods outside the paper's rule (`Selection.others`) are validated with one task unseen only:
    leaving two out costs ten times as much, and has nothing published to stand beside.

    Parameters
    ----------
    selection : Selection
        What is analysed.
    predictors : Sequence[str], optional
        Names in `PREDICTORS`, by default `default_predictors`; constant and partner mean always
        stand beside.
    seeds : int
        A predictor with a random state is fitted from seeds 0 … seeds-1 under ``loto``, and with
        seed 0 under ``l2to``.
    workers : int
        Processes; the numbers do not depend on it.
    progress : Progress, optional
        Told of every validation done.

    Returns
    -------
    runs : DataFrame
        One row a (predictor, target, protocol, method, seed): per_fold_r, pooled_r, mae (NaN where
        undefined), whether the predictor is `warm`, and under ``loto`` `partner_r`: the mean over
        folds of r between its predictions and those of partner mean.
    failures : list[str]
        One line for each validation that could not be done, and why.
    """
    names = dict.fromkeys([*BASELINES, *(predictors or default_predictors())])
    data = {
        NORMALIZED: training_rows(selection.pairs, selection.outcomes),
        RAW: training_rows(selection.pairs, raw_outcomes(selection.outcomes)),
    }
    units = list(_units([PREDICTORS.get(name) for name in names], data, seeds, selection.others))
    advance = (progress or Silent()).stage("refitting", len(units))
    with Workers(workers, worth=WORTH) as pool:
        results = dict(zip(units, pool.map(_validate, units, advance), strict=True))
    partner_means = {
        (unit.target, unit.method): result.predictions
        for unit, result in results.items()
        if unit.predictor == "partner_mean" and unit.protocol == "loto"
    }
    rows, failures = [], []
    for unit, result in results.items():
        predictor = PREDICTORS.get(unit.predictor)
        name = report_name(predictor)
        keys = dict(zip(_KEYS, (name, unit.target, unit.protocol, unit.method), strict=True))
        partner_r = np.nan
        if unit.protocol == "loto":
            partner_r = _agreement(result.predictions, partner_means[unit.target, unit.method])
        more = {"seed": unit.seed, "warm": predictor.warm, "partner_r": partner_r}
        rows.append({**keys, **more, **result.numbers})
        if result.failure:
            where = f"{name}, {unit.method}, {unit.target}, {unit.protocol}"
            failures.append(f"{where}: {result.failure}")
    return pd.DataFrame(rows), failures


def mean_over_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """`refit`'s runs with seeds averaged: the columns REFIT_COLUMNS, in order of the runs."""
    return runs.groupby(_KEYS, sort=False)[NUMBERS].mean().reset_index()[REFIT_COLUMNS]


def seed_spread(runs: pd.DataFrame) -> pd.DataFrame:
    """How per-fold r moves with the seed: `mean`, `std`, `low`, `high`, `n_seeds` by setting of
    the fit, for predictors that were fitted from several seeds.
    """
    groups = runs.groupby(_KEYS, sort=False)["per_fold_r"]
    table = groups.agg(mean="mean", std="std", low="min", high="max", n_seeds="size").reset_index()
    return table[table["n_seeds"] > 1].reset_index(drop=True)


def _units(
    predictors: Sequence[Predictor],
    data: dict[str, dict[str, TrainingRows]],
    seeds: int,
    others: Sequence[str],
) -> Iterator[_Unit]:
    for target, protocol in SCHEMES:
        for predictor in predictors:
            count = seeds if predictor.draws and protocol == "loto" else 1
            for method, rows in data[target].items():
                if protocol == "l2to" and method in others:
                    continue
                for seed in range(count):
                    yield _Unit(predictor.name, target, protocol, method, seed, rows)


def _validate(unit: _Unit) -> _Result:
    """The numbers of one unit; NaN and the reason where there are none."""
    predictor, protocol = PREDICTORS.get(unit.predictor), PROTOCOLS.get(unit.protocol)
    undefined = dict.fromkeys(NUMBERS, np.nan)
    if not protocol.applies_to(predictor):
        return _Result(undefined)
    try:
        table = out_of_fold(unit.rows, predictor.seeded(unit.seed), protocol)
    except MergecastError as error:
        return _Result(undefined, failure=str(error))
    numbers = scores(table)
    return _Result({key: float(numbers[key]) for key in NUMBERS}, paired_predictions(table))


def _agreement(first: pd.DataFrame | None, second: pd.DataFrame | None) -> float:
    """Mean over folds of r between two predictors; NaN where it is defined in none."""
    if first is None or second is None:
        return np.nan
    both = first.merge(second, on=["fold", *PAIR_KEYS])
    folds = both.groupby("fold", sort=False)
    return mean_defined(
        [pearson(t["predicted_x"].to_numpy(), t["predicted_y"].to_numpy()) for _, t in folds]
    )
