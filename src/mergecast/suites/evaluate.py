"""Models and merges on the test samples of tasks, each member of a merge with its own head.

Suites and people's own models are scored by the same two functions: a session gives the family,
the tasks, and how merges are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergecast.checkpoints.torch_bridge import read_state
from mergecast.errors import FamilyError, UndefinedError, UsageError
from mergecast.evidence.retention.batchnorm import BATCHNORM, batchnorm_layers, reestimated
from mergecast.evidence.session import Session
from mergecast.evidence.settings import MergeSettings
from mergecast.family import Family
from mergecast.merging import METHODS, merge
from mergecast.merging.recipe import Given, Recipe
from mergecast.merging.run import MERGE
from mergecast.merging.stand_ins import with_own_head
from mergecast.runtime.stage import Stage
from mergecast.suites.merges import told
from mergecast.tasks.measure import (
    EVALUATION,
    NOT_FINITE,
    QUANTITIES,
    TaskScore,
    majority,
    measure,
)
from mergecast.tasks.standing import Standing
from mergecast.tasks.task import Samples, Split, Task

if TYPE_CHECKING:
    from torch import Tensor

_MODULES = ("mergecast.suites.evaluate",)
#: A base and a fine-tuned model on the task's test samples.
SINGLE = Stage("single", 1, modules=_MODULES)
#: A merge on the members' test samples.
OUTCOME = Stage("outcome", 1, modules=_MODULES)

_SPLITS: tuple[Split, ...] = ("train", "calibration", "test")


def single_stage() -> Stage:
    """What the scores of a single model are made by."""
    return SINGLE.with_uses(EVALUATION)


def outcome_stage(method: str) -> Stage:
    """What the scores of a merge are made by."""
    return OUTCOME.with_uses(MERGE, METHODS.get(method).stage, BATCHNORM, EVALUATION)


def outcome_spec(
    session: Session,
    recipe: Recipe,
    samples: Mapping[str, Samples],
    stage: Stage,
    batch_size: int | None = None,
) -> dict[str, object]:
    """What the scores of a merge on some samples of every member are stored under: content alone.

    Parameters
    ----------
    session : Session
        Family and tasks.
    recipe : Recipe
        How the members are merged.
    samples : mapping of str to Samples
        Every member's label to what it is scored on.
    stage : Stage
        What they are made by.
    batch_size : int, optional
        Samples run at once, where BatchNorm's statistics depend on it.
    """
    shared = {"base": session.base_digest, "shared": session.shared_digest}
    anew = session.merges.reestimate_batchnorm
    spec: dict[str, object] = {
        "members": {x: session.spec(stage, x, some, **shared) for x, some in samples.items()},
        **told(recipe),
        "seed": recipe.seed,
        "batchnorm": anew,
    }
    if anew:
        spec["batch_size"] = batch_size
        spec["calibration"] = {
            label: session.task(label).samples(None, 0, "calibration").digest() for label in samples
        }
    return spec


def session_of(
    tasks: Sequence[Task],
    base: Path,
    models: Mapping[str, Path],
    merges: MergeSettings | None = None,
) -> Session:
    """A session of the models of some tasks, by the tasks' names; heads are private."""
    private = sorted({pattern for task in tasks for pattern in task.private})
    family = Family.open(base, models, private=private)
    return Session(family, {task.name: task for task in tasks}, merges=merges or MergeSettings())


def evaluate_single(session: Session, label: str, batch_size: int | None = None) -> dict[str, Any]:
    """A base and a fine-tuned model on the task's test samples, the base with the model's head.

    Parameters
    ----------
    session : Session
        Family and tasks.
    label : str
        The model.
    batch_size : int, optional
        Samples run at once; what the task asks for by default.

    Returns
    -------
    dict
        ``base`` and ``single`` (`TaskScore` as plain data), ``sizes`` of the splits that the task
        has, ``majority`` (None where answers are no classes), ``standing`` of the model.

    Raises
    ------
    UndefinedError
        The fine-tuned model has no score, so there is nothing that a merge could retain.
    """
    test = session.test_samples(label)
    probe = session.load(label)
    single = measure(probe, test, batch_size)
    if "score" in single.missing:
        why = single.missing["score"]
        wrong = (
            "look for NaN in its samples and head"
            if why.endswith(NOT_FINITE)
            else "give it a score"
        )
        raise UndefinedError(
            f"model {label!r}", f"has no score: {why}", f"leave the task out, or {wrong}"
        )
    base = session.probe(label)
    base.load(with_own_head(session.family, read_state(session.family.base), label))
    try:
        commonest = majority(test.labels)
    except UndefinedError:
        commonest = None
    of_base = measure(base, test, batch_size)
    assert test.labels is not None  # there is a score
    return {
        "base": asdict(of_base),
        "single": asdict(single),
        "standing": asdict(Standing.labelled(single, test.labels, of_base)),
        "sizes": _sizes(session.task(label)),
        "majority": commonest,
    }


def evaluate_merge(
    session: Session, members: Sequence[str], recipe: Given, batch_size: int | None = None
) -> dict[str, dict[str, Any]]:
    """Merge some models and evaluate each on its own task, by its label.

    Parameters
    ----------
    session : Session
        Family and tasks. BatchNorm's running statistics, if its `merges` say that they are measured
        anew, are so on all calibration samples of the member's task.
    members : sequence of str
        Labels of the models.
    recipe : str, Recipe or mapping
        How they are merged.
    batch_size : int, optional
        As of `evaluate_single`.

    Returns
    -------
    dict
        Label to `TaskScore` as plain data; where the merge does not exist, its reason.
    """
    family = session.family.subset(members)
    try:
        merged = merge(family, recipe, device=session.settings.device)
    except (FamilyError, UndefinedError) as error:
        nothing = TaskScore({}, dict.fromkeys(QUANTITIES, str(error)), 0, 0)
        return {label: asdict(nothing) for label in members}
    scores = {}
    for label in members:
        probe = session.probe(label)
        probe.load(merged_state(session, merged, label, batch_size, members))
        found = measure(probe, session.test_samples(label), batch_size)
        # The models alone have scores, so that what is not finite is the merge's doing.
        missing = {
            quantity: f"{why}; merge less strongly" if why.endswith(NOT_FINITE) else why
            for quantity, why in found.missing.items()
        }
        scores[label] = asdict(replace(found, missing=missing))
    return scores


def merged_state(
    session: Session,
    merged: Mapping[str, Tensor],
    label: str,
    batch_size: int | None = None,
    beside: Sequence[str] = (),
) -> Mapping[str, Tensor]:
    """What a member of a merge runs with: the merge, its own head, and BatchNorm as is asked.

    `beside` are the other members, which may bring tokens of their own.
    """
    task, probe = session.task(label), session.probe(label)
    state: Mapping[str, Tensor] = with_own_head(session.family, merged, label, beside)
    if session.merges.reestimate_batchnorm and batchnorm_layers(probe.module):
        calibration = task.samples(None, 0, "calibration")
        state = reestimated(probe, state, calibration, batch_size or task.batch_size)
    return state


def _sizes(task: Task) -> dict[str, int]:
    """Samples of each split that the task has; a model may have been trained elsewhere."""
    sizes: dict[str, int] = {}
    for split in _SPLITS:
        try:
            sizes[split] = task.size(split)
        except UsageError:
            continue
    return sizes
