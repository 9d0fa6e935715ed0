"""Fit every predictor again, on the published target and on the right one, by both protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mergecast.analysis.replay import NORMALIZED, RAW
from mergecast.analysis.selection import Selection
from mergecast.errors import MergecastError
from mergecast.forecast.design import TrainingRows, training_rows
from mergecast.forecast.evaluation import applies, scores
from mergecast.forecast.predictors import PREDICTORS, Predictor
from mergecast.forecast.protocols import PROTOCOLS, out_of_fold
from mergecast.runtime.workers import Workers
from mergecast.tables.published import raw_outcomes

Progress = Callable[[int, int], None]

NUMBERS = ["per_fold_r", "pooled_r", "mae"]
REFIT_COLUMNS = ["predictor", "target", "protocol", "method", *NUMBERS]

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
    "additive_plus",
    "additive_plus_warm",
)


@dataclass(frozen=True)
class _Unit:
    """One predictor, validated once: what a worker gets."""

    predictor: str
    target: str
    protocol: str
    method: str
    seed: int
    rows: TrainingRows


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

    Parameters
    ----------
    selection : what is analysed.
    predictors : names in `PREDICTORS`, by default `default_predictors`.
    seeds : a predictor with a random state is fitted from seeds 0 … seeds-1 under ``loto``, and
        with seed 0 under ``l2to``.
    workers : processes; the numbers do not depend on it.
    progress : called with (validations done, in all).

    Returns
    -------
    runs : frame, one row a (predictor, target, protocol, method, seed): per_fold_r, pooled_r, mae
        (NaN where undefined).
    failures : one line for each validation that could not be done, and why.
    """
    chosen = [PREDICTORS.get(name) for name in dict.fromkeys(predictors or default_predictors())]
    data = {
        NORMALIZED: training_rows(selection.pairs, selection.outcomes),
        RAW: training_rows(selection.pairs, raw_outcomes(selection.outcomes)),
    }
    units = list(_units(chosen, data, seeds))
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, len(units))

    with Workers(workers) as pool:
        found = pool.map(_validate, units, advance)
    rows, failures = [], []
    for unit, (numbers, failure) in zip(units, found, strict=True):
        name = report_name(PREDICTORS.get(unit.predictor))
        head = [name, unit.target, unit.protocol, unit.method, unit.seed]
        rows.append([*head, *numbers])
        if failure:
            failures.append(f"{name}, {unit.method}, {unit.target}, {unit.protocol}: {failure}")
    return pd.DataFrame(rows, columns=[*REFIT_COLUMNS[:4], "seed", *NUMBERS]), failures


def mean_over_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """`refit`'s runs with seeds averaged: the columns REFIT_COLUMNS, in order of the runs."""
    keys = REFIT_COLUMNS[:4]
    return runs.groupby(keys, sort=False)[NUMBERS].mean().reset_index()[REFIT_COLUMNS]


def seed_spread(runs: pd.DataFrame) -> pd.DataFrame:
    """How per-fold r moves with the seed: `mean`, `std`, `low`, `high`, `n_seeds` by setting of
    the fit, for predictors that were fitted from several seeds.
    """
    groups = runs.groupby(REFIT_COLUMNS[:4], sort=False)["per_fold_r"]
    table = groups.agg(mean="mean", std="std", low="min", high="max", n_seeds="size").reset_index()
    return table[table["n_seeds"] > 1].reset_index(drop=True)


def _units(
    chosen: Sequence[Predictor], data: dict[str, dict[str, TrainingRows]], seeds: int
) -> Iterator[_Unit]:
    for target, protocol in SCHEMES:
        for predictor in chosen:
            random = "random_state" in predictor.make().get_params()
            count = seeds if random and protocol == "loto" else 1
            for method, rows in data[target].items():
                for seed in range(count):
                    yield _Unit(predictor.name, target, protocol, method, seed, rows)


def _validate(unit: _Unit) -> tuple[list[float], str]:
    """The numbers of one unit; NaN and the reason where there are none."""
    predictor, protocol = PREDICTORS.get(unit.predictor), PROTOCOLS.get(unit.protocol)
    if not applies(predictor, protocol):
        return [np.nan] * len(NUMBERS), ""
    estimator = predictor.make()
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=unit.seed)
    seeded = Predictor(predictor.name, lambda: estimator, predictor.warm, predictor.summary)
    try:
        numbers = scores(out_of_fold(unit.rows, seeded, protocol))
    except MergecastError as error:
        return [np.nan] * len(NUMBERS), str(error)
    return [float(numbers[key]) for key in NUMBERS], ""
