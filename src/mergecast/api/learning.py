"""Learning from merges that were measured: fit a forecaster, validate predictors, analyse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from mergecast.errors import UsageError
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.shipped import measured_folders
from mergecast.forecast.unseen_suites import SuiteScores, score_suites
from mergecast.forecast.validation import evaluate as validation
from mergecast.forecast.validation.choices import choices
from mergecast.forecast.validation.evaluation import Evaluation
from mergecast.report.inputs import read_tasks
from mergecast.runtime.least import at_least
from mergecast.runtime.progress import Progress
from mergecast.tables.outcomes import OutcomesLike, OutcomeTable, as_outcomes
from mergecast.tables.pairs import PairsLike, PairTable, as_pairs
from mergecast.tables.runs import load_run
from mergecast.tables.table import Table
from mergecast.typing import Names, listed

if TYPE_CHECKING:
    from mergecast.analysis.analyse import Analysis

Tables: TypeAlias = tuple[PairTable, OutcomeTable]
#: One run folder, several, or the pair and the outcome table (or frames of them).
Runs: TypeAlias = str | Path | Sequence[str | Path] | tuple[PairsLike, OutcomesLike]


def fit(
    runs: Runs,
    predictor: str = "auto",
    *,
    workers: int = 2,
    progress: Progress | None = None,
) -> Forecaster:
    """Learn a forecaster from the merges of one or more suites.

    Parameters
    ----------
    runs : str, Path, sequence of them or pair of tables
        Folders with `pairs` and `outcomes` tables, or the two tables.
    predictor : str
        ``auto`` takes for each method the one of least error with both tasks unseen; or
        ``constant``, ``superposition``, ``superposition_unlabelled``, ``retention``,
        ``retention_unlabelled``, ``ridge``, ``lasso``,
        ``additive_plus``; or ``additive_plus_warm``: ``auto``, and forecasts by known outcomes for
        every method.
    workers : int
        Processes; the numbers do not depend on it.
    progress : Progress, optional
        Told of every method and tier.

    Raises
    ------
    UsageError
        No such folder, an unknown predictor, fewer than four tasks.
    TableError
        A table breaks its schema.

    Examples
    --------
    >>> import mergecast as mc
    >>> forecaster = mc.fit("runs/toy", "ridge")
    >>> list(forecaster.file.methods), forecaster.save("toy.json").name
    (['ties'], 'toy.json')
    """
    pairs, outcomes = open_tables(runs)
    return Forecaster.fit(pairs, outcomes, predictor, workers=workers, progress=progress)


def evaluate(
    runs: Runs,
    protocol: str = "loto",
    *,
    predictors: Names | None = None,
    methods: Names | None = None,
    bootstrap: int = 200,
    null: int = 0,
    seeds: int = 1,
    seed: int = 0,
    workers: int = 2,
    progress: Progress | None = None,
) -> Evaluation:
    """Validate predictors on merges that were done, beside constant and partner mean.

    Parameters
    ----------
    runs : str, Path, sequence of them or pair of tables
        Folders with `pairs` and `outcomes` tables, or the two tables.
    protocol : {"loto", "l2to", "suite"}
        What no fit has seen: one task, both tasks of a pair, a whole suite.
    predictors : str or sequence of str, optional
        Names; by default those that have something to read.
    methods : str or sequence of str, optional
        Merging methods; by default all there are.
    bootstrap : int
        Draws of tasks for the 90 % intervals of the scores; 0 for none.
    null : int
        Permutations of the tasks for p-values; each is a validation anew.
    seeds : int
        Seeds, for the spread of predictors that draw numbers.
    seed : int
        Of the bootstrap's draws and the permutations.
    workers : int
        Processes; the numbers do not depend on it.
    progress : Progress, optional
        Told of every method and predictor.

    Returns
    -------
    Evaluation
        Scores, out-of-fold predictions, and in `decisions` what choosing by them would have cost.

    Raises
    ------
    UsageError
        An unknown name, too few tasks or suites for the protocol, no such folder.
    TableError
        A table breaks its schema.

    Examples
    --------
    >>> import mergecast as mc
    >>> evaluation = mc.evaluate("runs/toy", "l2to", methods="ties", bootstrap=0)
    >>> scores = evaluation.results.set_index("predictor")["mae"]
    >>> scores.idxmin(), bool(scores["ridge"] < scores["constant"])
    ('ridge', True)
    """
    at_least(0, seed=seed, bootstrap=bootstrap, null=null)
    at_least(1, seeds=seeds, workers=workers)
    pairs, outcomes = open_tables(runs)
    found = validation.evaluate(
        pairs,
        outcomes,
        protocol,
        listed(predictors) or None,
        listed(methods) or None,
        progress,
        bootstrap=bootstrap,
        null=null,
        seeds=seeds,
        seed=seed,
        workers=workers,
    )
    return replace(found, decisions=choices(found, outcomes))


def analyse(
    runs: Runs,
    protocol: str = "loto",
    *,
    methods: Names | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Analysis:
    """What drives the outcomes of merges that were done: the paper's analyses on own tables.

    Parameters
    ----------
    runs : str, Path, sequence of them or pair of tables
        Folders with `pairs` and `outcomes` tables, or the two tables. Of folders the base models'
        scores are read too.
    protocol : {"loto", "l2to", "suite"}
        Of the ablation.
    methods : str or sequence of str, optional
        Merging methods; by default all that have outcomes.
    seed : int
        Of the permutations.
    progress : Progress, optional
        Told of every method and suite.

    Raises
    ------
    UsageError, TableError
        As `evaluate`.
    """
    from mergecast.analysis.analyse import analyse as analyse_tables

    at_least(0, seed=seed)
    pairs, outcomes = open_tables(runs)
    return analyse_tables(
        pairs,
        outcomes,
        listed(methods) or validation.defined_methods(outcomes)[0],
        protocol,
        _base_scores(runs),
        seed=seed,
        progress=progress,
    )


def unseen_suites(
    runs: Sequence[str | Path] = (),
    *,
    tiers: Names = ("weights", "activations", "labels"),
    workers: int = 2,
    progress: Progress | None = None,
) -> SuiteScores:
    """Forecast every suite that comes with mergecast by a forecaster of the others.

    What a forecast of new models of a new kind is worth, beside what is to be had for nothing.

    Parameters
    ----------
    runs : sequence of str or Path
        Folders with `pairs` and `outcomes` tables that are scored and learned from as well.
    tiers : str or sequence of str
        What the forecasts may read.
    workers : int
        Processes; the numbers do not depend on it.
    progress : Progress, optional
        Told of every suite and tier.

    Raises
    ------
    UsageError, TableError
        No such folder or tier, a broken table, all suites of one kind.
    """
    shipped = measured_folders()
    tables = load_run(*shipped, *runs)
    return score_suites(tables, listed(tiers), progress, workers)


def open_tables(runs: Runs) -> Tables:
    """The pair and the outcome table of what was given; raises UsageError for neither."""
    if isinstance(runs, str | Path):
        return load_run(runs)
    given = list(runs)
    if len(given) == 2 and all(isinstance(table, Table | pd.DataFrame) for table in given):
        return as_pairs(given[0]), as_outcomes(given[1])
    folders = [item for item in given if isinstance(item, str | Path)]
    if not folders or len(folders) < len(given):
        kinds = ", ".join(type(item).__name__ for item in given) or "nothing"
        raise UsageError("runs", f"are {kinds}", "give run folders, or a pair and an outcome table")
    return load_run(*folders)


def _base_scores(runs: Runs) -> dict[str, dict[str, float]]:
    """Suite to task to the base model's score, from the task tables that folders hold."""
    given = [runs] if isinstance(runs, str | Path) else runs
    found: dict[str, dict[str, float]] = {}
    for folder in given:
        tasks = read_tasks(folder) if isinstance(folder, str | Path) else None
        if tasks is not None and isinstance(folder, str | Path):
            known = tasks.dropna(subset="base_score").set_index("task")["base_score"]
            scores = {str(task): float(score) for task, score in known.items()}
            found |= dict.fromkeys(load_run(folder)[0].suites, scores)
    return found
