"""Validate predictors on merges that were done, beside the baselines that any must beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mergecast.forecast.estimators.predictors import BASELINES, PREDICTORS, Predictor
from mergecast.forecast.intervals import add_intervals
from mergecast.forecast.rows import ROW_KEYS
from mergecast.forecast.training import TrainingRows, training_rows
from mergecast.forecast.validation.decisions import Choices
from mergecast.forecast.validation.protocols import PROTOCOLS, Protocol, out_of_fold
from mergecast.forecast.validation.scoring import fold_scores, is_constant, pearson, scores
from mergecast.forecast.validation.uncertainty import (
    bootstrap_interval,
    permutation_null,
    seed_spread,
)
from mergecast.runtime.progress import Progress, Silent
from mergecast.runtime.workers import Workers
from mergecast.tables.outcomes import OutcomesLike, OutcomeTable, as_outcomes
from mergecast.tables.pairs import PairsLike

__all__ = ["DEFAULT_PREDICTORS", "Evaluation", "applies", "evaluate", "pearson", "scores"]

NOT_APPLICABLE = "not applicable: needs outcomes of the partner, and both tasks are unseen"
# The others are there to be asked for: they cost more, or serve to reproduce the paper.
DEFAULT_PREDICTORS = [
    *BASELINES,
    "retention",
    "retention_unlabelled",
    "ridge",
    "lasso",
    "paper",
    "additive_plus",
    "additive_plus_warm",
]
_NUMBERS = ["per_fold_r", "per_fold_rho", "pooled_r", "mae", "r2", "coverage"]
_COUNTS = ["n_pairs", "n_folds", "n_undefined_folds"]
RESULT_COLUMNS = ["protocol", "method", "predictor", "warm", *_NUMBERS, *_COUNTS, "note"]
PREDICTION_COLUMNS = ["method", "predictor", "fold", *ROW_KEYS, "predicted", "measured"]


@dataclass(frozen=True)
class Evaluation:
    """What a validation found.

    Attributes
    ----------
    protocol : ``loto``, ``l2to`` or ``suite``.
    results : one row a (method, predictor): `per_fold_r` and `per_fold_rho`, the means of Pearson's
        r and Spearman's ρ over the folds where they are defined; `pooled_r` over all folds'
        predictions together; `mae`, the mean absolute error; `r2`, the share of squared deviations
        from the mean outcome that is explained; all on *pairs*, in retention; `coverage`, the share
        of member rows inside their nominal 90 % interval (``l2to`` only); counts of pairs, of folds
        and of folds whose r is undefined (fewer than three pairs, or a constant side). What does
        not apply or is undefined is NaN, with a `note`. What was asked for stands in further
        columns: see `bootstrap_interval`, `permutation_null`, `seed_spread`.
    predictions : one row a (method, predictor, fold, member): `predicted`, `measured`, and under
        ``l2to`` `lower`, `upper`.
    notes : pairs and metrics that were left out, with reasons.
    decisions : what choosing methods, partners and sets by the predictions would have cost; None
        where nobody asked, see `mergecast.forecast.validation.choices`.
    """

    protocol: str
    results: pd.DataFrame
    predictions: pd.DataFrame
    notes: list[str]
    decisions: Choices | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: protocol, results, folds, notes, decisions; undefined is None."""
        tables = {"results": self.results, "folds": self.folds()}
        rows = {
            name: table.astype(object).where(table.notna(), None).to_dict("records")
            for name, table in tables.items()
        }
        asked = {} if self.decisions is None else {"decisions": self.decisions.to_dict()}
        return {"protocol": self.protocol, **rows, "notes": self.notes, **asked}

    def folds(self) -> pd.DataFrame:
        """Scores of every fold: DataFrame[method, predictor, fold, n_pairs, r, rho, mae]."""
        tables = []
        for (method, predictor), table in self.predictions.groupby(
            ["method", "predictor"], sort=False
        ):
            found = fold_scores(table)
            found.insert(0, "method", str(method))
            found.insert(1, "predictor", str(predictor))
            tables.append(found)
        return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True)
class _Extent:
    """How far a validation goes beyond its scores; as the parameters of `evaluate`."""

    bootstrap: int
    null: int
    seeds: int
    seed: int


@dataclass(frozen=True)
class _Unit:
    """One predictor on one method's rows: what a worker gets."""

    method: str
    predictor: str
    protocol: str
    rows: TrainingRows
    extent: _Extent


def evaluate(
    pairs: PairsLike,
    outcomes: OutcomesLike,
    protocol: str = "loto",
    predictors: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    progress: Progress | None = None,
    *,
    bootstrap: int = 0,
    null: int = 0,
    seeds: int = 1,
    seed: int = 0,
    workers: int = 1,
) -> Evaluation:
    """Forecast every pair from merges that do not involve what the protocol holds out.

    Parameters
    ----------
    pairs, outcomes : tables as in `mergecast.tables`.
    protocol : ``loto`` (leave one task out), ``l2to`` (two), ``suite``.
    predictors : names in `PREDICTORS`, by default those of `DEFAULT_PREDICTORS` whose metrics are
        in the table. The baselines `constant` and `partner_mean` always stand beside.
    methods : merging methods, by default all of the outcome table.
    progress : told of every method and predictor done.
    bootstrap : draws of tasks for intervals of the scores; 0 for none. Cheap.
    null : permutations of outcomes for a null distribution; 0 for none. Each is a validation anew.
    seeds : seeds to repeat with, for the spread of predictors that draw numbers; 1 for none.
    seed : of bootstrap and permutations.
    workers : processes; the numbers do not depend on it.

    Raises
    ------
    TableError
        A table breaks its schema, or nothing is left to learn from.
    UsageError
        An unknown name, or too few tasks or suites for the protocol.
    """
    PROTOCOLS.get(protocol)  # an unknown name is told before any work
    outcomes = as_outcomes(outcomes)
    asked, undefined = (list(methods), []) if methods else defined_methods(outcomes)
    data = training_rows(pairs, outcomes, asked)
    names = dict.fromkeys([*BASELINES, *(predictors or default_predictors(data))])
    chosen = [PREDICTORS.get(name) for name in names]
    extent = _Extent(bootstrap, null, seeds, seed)
    units = [
        _Unit(method, predictor.name, protocol, rows, extent)
        for method, rows in data.items()
        for predictor in chosen
    ]
    advance = (progress or Silent()).stage(f"validating ({protocol})", len(units))
    with Workers(workers) as pool:
        found = pool.map(_validate, units, advance)
    results = [row for row, _ in found]
    tables = [table for _, table in found if table is not None]
    notes = dict.fromkeys(note for rows in data.values() for note in rows.notes)
    notes |= dict.fromkeys(undefined)
    notes |= dict.fromkeys(
        f"{method}: retention is {rows.y[0]:.6g} in all {rows.n_pairs} pairs: nothing can be "
        "learned from it, and correlations are undefined"
        for method, rows in data.items()
        if is_constant(rows.y)
    )
    extra = dict.fromkeys(key for row in results for key in row if key not in RESULT_COLUMNS)
    frame = pd.DataFrame(results, columns=[*RESULT_COLUMNS, *extra])
    frame[_COUNTS] = frame[_COUNTS].fillna(0).astype("int64")
    frame["note"] = [note if isinstance(note, str) else "" for note in frame["note"]]
    return Evaluation(protocol, frame, pd.concat(tables, ignore_index=True), list(notes))


def _validate(unit: _Unit) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """One row of the results, and the out-of-fold predictions where the predictor applies."""
    rows, extent = unit.rows, unit.extent
    predictor, scheme = PREDICTORS.get(unit.predictor), PROTOCOLS.get(unit.protocol)
    head: dict[str, Any] = {"protocol": unit.protocol, "method": unit.method}
    head |= {"predictor": predictor.name, "warm": predictor.warm}
    lacking = predictor.lacks(rows.X.columns)
    if lacking or not applies(predictor, scheme):
        return {**head, "n_pairs": rows.n_pairs, "note": lacking or NOT_APPLICABLE}, None
    table = out_of_fold(rows, predictor, scheme)
    if unit.protocol == "l2to":
        table = add_intervals(table)
    table.insert(0, "method", unit.method)
    table.insert(1, "predictor", predictor.name)
    found = scores(table)
    if extent.bootstrap:
        found |= bootstrap_interval(table, extent.bootstrap, extent.seed)
    if extent.null:
        found |= permutation_null(rows, predictor, scheme, found, extent.null, extent.seed)
    if extent.seeds > 1:
        found |= seed_spread(rows, predictor, scheme, extent.seeds)
    return {**head, **found}, table


def default_predictors(data: Mapping[str, TrainingRows]) -> list[str]:
    """Those of `DEFAULT_PREDICTORS` that have something to say of one method's rows at least."""
    return [
        name
        for name in DEFAULT_PREDICTORS
        if any(not PREDICTORS.get(name).lacks(rows.X.columns) for rows in data.values())
    ]


def defined_methods(outcomes: OutcomeTable) -> tuple[list[str] | None, list[str]]:
    """The methods with a defined outcome, and a note on each other one; None where none has any.

    One method that always diverged must not cost the validation of the others.
    """
    measured = outcomes.members()
    known = measured[measured["retention"].notna()]["method"].unique()
    if not len(known):
        return None, []
    unknown = sorted(set(measured["method"]) - set(known))
    notes = [f"{method}: left out: no pair has a defined outcome" for method in unknown]
    return sorted(known), notes


def applies(predictor: Predictor, protocol: Protocol) -> bool:
    """Whether a predictor can say anything under a protocol."""
    return protocol.partners_known or not predictor.warm
