"""Validate predictors on merges that were done, beside the baselines that any must beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mergecast.forecast.estimators.predictors import BASELINES, PREDICTORS
from mergecast.forecast.intervals import add_intervals
from mergecast.forecast.training import TrainingRows, learnable, training_rows
from mergecast.forecast.validation.ceiling import ceilings
from mergecast.forecast.validation.evaluation import CEILING, COUNTS, RESULT_COLUMNS, Evaluation
from mergecast.forecast.validation.over_tasks import beside_constant
from mergecast.forecast.validation.protocols import PROTOCOLS, out_of_fold
from mergecast.forecast.validation.scoring import is_constant, scores
from mergecast.forecast.validation.uncertainty import (
    bootstrap_interval,
    permutation_null,
    seed_spread,
)
from mergecast.runtime.progress import Progress, Silent
from mergecast.runtime.workers import WORTH, Workers
from mergecast.tables.outcomes import OutcomesLike, OutcomeTable, as_outcomes
from mergecast.tables.pairs import PairsLike

NOT_APPLICABLE = "not applicable: needs outcomes of the partner, and both tasks are unseen"
_CONSTANT = BASELINES[0]
# The others are there to be asked for: they cost more, or serve to reproduce the paper.
DEFAULT_PREDICTORS = [
    *BASELINES,
    "tempered",
    "tempered_unlabelled",
    "superposed",
    "superposed_unlabelled",
    "superposition",
    "superposition_unlabelled",
    "retention",
    "retention_unlabelled",
    "ridge",
    "lasso",
    "paper",
    "additive_plus",
    "additive_plus_warm",
]


@dataclass(frozen=True)
class _Unit:
    """One predictor on one method's rows: what a worker gets; the rest as `evaluate` takes it."""

    method: str
    predictor: str
    rows: TrainingRows
    protocol: str
    bootstrap: int
    null: int
    seeds: int
    seed: int


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
    pairs, outcomes : PairTable and OutcomeTable, or DataFrame
        Metrics, and what the merges did.
    protocol : {"loto", "l2to", "suite"}
        Leave one task out, two, or a whole suite.
    predictors : sequence of str, optional
        Names in `PREDICTORS`, by default those of `DEFAULT_PREDICTORS` whose metrics are in the
        table. The baselines `constant` and `partner_mean` always stand beside.
    methods : sequence of str, optional
        Merging methods, by default all of the outcome table.
    progress : Progress, optional
        Told of every method and predictor done.
    bootstrap : int
        Draws of tasks for intervals of the scores; 0 for none. Cheap.
    null : int
        Permutations of outcomes for a null distribution; 0 for none. Each is a validation anew.
    seeds : int
        Seeds to repeat with, for the spread of predictors that draw numbers; 1 for none.
    seed : int
        Of bootstrap and permutations.
    workers : int
        Processes; the numbers do not depend on it.

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
    entries = [PREDICTORS.get(name) for name in names]
    units = [
        _Unit(method, predictor.name, rows, protocol, bootstrap, null, seeds, seed)
        for method, rows in data.items()
        for predictor in entries
    ]
    advance = (progress or Silent()).stage(f"validating ({protocol})", len(units))
    with Workers(workers, worth=WORTH) as pool:
        validated = pool.map(_validate, units, advance)
    constants = {
        row["method"]: told
        for row, told in validated
        if row["predictor"] == _CONSTANT and told is not None
    }
    results = [
        row
        if told is None or row["predictor"] == _CONSTANT
        else row | beside_constant(told, constants[row["method"]], bootstrap, seed)
        for row, told in validated
    ]
    tables = [table for _, table in validated if table is not None]
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
    frame[CEILING] = frame["method"].map(ceilings(outcomes))
    frame[COUNTS] = frame[COUNTS].fillna(0).astype("int64")
    for key in ("task", "note"):
        frame[key] = [text if isinstance(text, str) else "" for text in frame[key]]
    return Evaluation(protocol, frame, pd.concat(tables, ignore_index=True), list(notes))


def _validate(unit: _Unit) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """One row of the results, and the out-of-fold predictions where the predictor applies."""
    rows, seed = unit.rows, unit.seed
    predictor, scheme = PREDICTORS.get(unit.predictor), PROTOCOLS.get(unit.protocol)
    head: dict[str, Any] = {"protocol": unit.protocol, "method": unit.method}
    head |= {"predictor": predictor.name, "warm": predictor.warm}
    lacking = predictor.lacks(rows.X.columns)
    if lacking or not scheme.applies_to(predictor):
        return {**head, "n_pairs": rows.n_pairs, "note": lacking or NOT_APPLICABLE}, None
    table = out_of_fold(rows, predictor, scheme)
    if unit.protocol == "l2to":
        table = add_intervals(table)
    table.insert(0, "method", unit.method)
    table.insert(1, "predictor", predictor.name)
    numbers = scores(table)
    if unit.bootstrap:
        numbers |= bootstrap_interval(table, unit.bootstrap, seed)
    if unit.null:
        numbers |= permutation_null(rows, predictor, scheme, numbers, unit.null, seed)
    if unit.seeds > 1:
        numbers |= seed_spread(rows, predictor, scheme, unit.seeds)
    return {**head, **numbers}, table


def default_predictors(data: Mapping[str, TrainingRows]) -> list[str]:
    """Those of `DEFAULT_PREDICTORS` that have something to say of one method's rows at least."""
    return [
        name
        for name in DEFAULT_PREDICTORS
        if any(not PREDICTORS.get(name).lacks(rows.X.columns) for rows in data.values())
    ]


def defined_methods(outcomes: OutcomeTable) -> tuple[list[str] | None, list[str]]:
    """The methods to validate, and a note on each other one; None where no outcome is defined.

    One method that always diverged, or was measured on few pairs, must not cost the validation of
    the others.
    """
    enough, notes = learnable(outcomes)
    measured = outcomes.members()
    measured = measured[measured["method"].isin(enough)]
    defined = sorted(measured[measured["retention"].notna()]["method"].unique())
    if not defined:
        return None, []
    undefined = sorted(set(measured["method"]) - set(defined))
    notes += [f"{method}: left out: no pair has a defined outcome" for method in undefined]
    return defined, notes
