"""Measuring merges of people's own models: a unit a single model, a unit a merge, kept by content.

What a suite's run does after fine-tuning, of any models with tasks. A unit's key holds the digests
of all tensors and test samples, so that renamed files cost nothing and changed ones are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence.doubts import doubtful
from mergecast.evidence.session import Session
from mergecast.family.findings import Finding
from mergecast.merging.recipe import Recipe
from mergecast.runtime.stage import Stage
from mergecast.suites.evaluate import (
    evaluate_merge,
    evaluate_single,
    outcome_spec,
    outcome_stage,
    single_stage,
)
from mergecast.suites.merges import Merge
from mergecast.suites.tables import outcomes_table, samples_path, samples_table
from mergecast.tables.io import write_table
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tasks.standing import Standing

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Measured:
    """What merges of some models did.

    Attributes
    ----------
    outcomes : OutcomeTable
        One row a merge and member, with `retention_stderr`, and the base's score and the commonest
        class's in `base_score` and `majority`.
    samples : DataFrame
        The scores of every sample: the outcomes' keys, `scores` of the merge and `single_scores`,
        lists in the order of the test samples; no list where there is no score.
    findings : tuple of Finding
        Preflight's warnings, and the members that hardly answer their own task.
    """

    outcomes: OutcomeTable
    samples: pd.DataFrame
    findings: tuple[Finding, ...] = ()

    def write(self, path: str | Path) -> Path:
        """Write the outcomes, and ``NAME.samples.parquet`` beside them.

        Parameters
        ----------
        path : str or Path
            A ``.parquet`` or ``.csv`` file.

        Returns
        -------
        Path
            The file of the outcomes.
        """
        path = Path(path)
        write_table(self.samples, samples_path(path))
        return self.outcomes.write(path)

    #: Where the scores of every sample stand beside a file of outcomes.
    samples_path = staticmethod(samples_path)

    def __repr__(self) -> str:
        return repr(self.outcomes)


def check_tests(session: Session) -> None:
    """Raise UsageError for a task without labelled test samples: before hours are spent."""
    for label in session.family.names:
        about = f"task {label!r}"
        try:
            samples = session.test_samples(label)
        except UsageError as error:
            if error.thing.endswith("split 'test'"):
                remedy = "add `test:` to the task, like `data:`, with samples not in it"
                raise UsageError(about, "has no test samples", remedy) from error
            raise
        if samples.labels is None:
            raise UsageError(
                about, "its test samples have no labels", "name them: `labels: COLUMN`"
            )
        if session.task(label).outputs != "classes":
            raise UndefinedError(
                about,
                f"its score is not defined: a {session.task(label).kind_name} has no classes, and "
                "retention is a share of a score",
                "leave its model out",
            )


def measure_merges(session: Session, merges: Sequence[Merge], suite: str) -> Measured:
    """Score the single models, then every merge; what the session's store holds is not done again.

    Parameters
    ----------
    session : Session
        Family, tasks and settings: models are run `batch_size` samples at once.
    merges : sequence of Merge
        Recipe and members, in the order of the table.
    suite : str
        The table's suite column.

    Raises
    ------
    UndefinedError
        A single model has no score.
    """
    own = _Own(session)
    labels = session.family.names
    singles = dict(
        zip(labels, own.finish("evaluate", [own.single(x) for x in labels]), strict=True)
    )
    # One set after the other, so that its samples are at hand for every recipe.
    order = sorted(merges, key=lambda merge: merge[1])
    done = own.finish("merge and evaluate", [own.merge(*merge) for merge in order])
    by_merge = dict(zip(order, done, strict=True))
    records = [by_merge[merge] for merge in merges]
    standings = {x: Standing.parse(singles[x]["standing"]) for x in labels}
    outcomes = outcomes_table(
        merges,
        records,
        singles,
        suite=suite,
        versions=own.versions([recipe.method for recipe, _ in merges]),
        recipe={
            "merging": {recipe.label: recipe.as_mapping()["params"] for recipe, _ in merges},
            "reestimate_batchnorm": session.merges.reestimate_batchnorm,
        },
    )
    samples = samples_table(merges, records, singles, suite=suite)
    return Measured(outcomes, samples, tuple(doubtful(standings)))


@dataclass(frozen=True)
class _Unit:
    """A computation and what it is stored under."""

    spec: dict[str, object]
    compute: Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class _Own:
    """The units of one session."""

    session: Session

    def single(self, label: str) -> _Unit:
        """A model and its base on the task's test samples."""
        run = partial(evaluate_single, self.session, label, self.session.settings.batch_size)
        return _Unit(self._spec(single_stage(), label), run)

    def merge(self, recipe: Recipe, members: tuple[str, ...]) -> _Unit:
        """A merge on its members' test samples."""
        batch_size = self.session.settings.batch_size
        samples = {label: self.session.test_samples(label) for label in members}
        stage = outcome_stage(recipe.method)
        spec = outcome_spec(self.session, recipe, samples, stage, batch_size)

        def run() -> dict[str, Any]:
            return {"tasks": evaluate_merge(self.session, members, recipe, batch_size)}

        return _Unit(spec, run)

    def versions(self, methods: Sequence[str]) -> dict[str, int]:
        """Every stage that the outcomes are made by."""
        stages = single_stage().versions()
        for method in methods:
            stages |= outcome_stage(method).versions()
        return dict(sorted(stages.items()))

    def finish(self, stage: str, units: Sequence[_Unit]) -> list[dict[str, Any]]:
        """The results of units, after computing those that are not in the store."""
        store = self.session.store
        found = [store.get(unit.spec) for unit in units]
        done = sum(result is not None for result in found)
        advance = self.session.progress.stage(stage, len(units), done)
        results = []
        for unit, result in zip(units, found, strict=True):
            if result is None:
                result = unit.compute()
                store.put(unit.spec, result)
                advance(1)
            results.append(result)
        return results

    def _spec(self, stage: Stage, label: str) -> dict[str, object]:
        return self.session.spec(
            stage,
            label,
            self.session.test_samples(label),
            base=self.session.base_digest,
            shared=self.session.shared_digest,
        )
