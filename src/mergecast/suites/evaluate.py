"""Models and merges on the test samples of tasks, each member of a merge with its own head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from mergecast.errors import FamilyError, UndefinedError, UsageError
from mergecast.evidence.retention.batchnorm import batchnorm_layers, reestimated
from mergecast.family import Family
from mergecast.merging import merge
from mergecast.merging.stand_ins import private_parameters
from mergecast.tasks.measure import QUANTITIES, TaskScore, majority, measure
from mergecast.tasks.probe import Probe
from mergecast.tasks.task import Split, Task

_SPLITS: tuple[Split, ...] = ("train", "calibration", "test")


def evaluate_single(task: Task, base: Path, model: Path) -> dict[str, Any]:
    """A base and a fine-tuned model on a task's test samples, the base with the model's head.

    Parameters
    ----------
    task : Task
        The task.
    base, model : Path
        Their safetensors files.

    Returns
    -------
    dict
        ``base`` and ``single`` (`TaskScore` as plain data), ``sizes`` of the splits that the task
        has, ``majority`` (None where answers are no classes).

    Raises
    ------
    UndefinedError
        The fine-tuned model has no score, so there is nothing that a merge could retain.
    """
    family = Family.open(base, {task.name: model}, private=task.private)
    probe, test = Probe(task), task.samples(None, 0, "test")
    probe.load(load_file(model))
    single = measure(probe, test)
    if "score" in single.missing:
        raise UndefinedError(
            f"model {task.name!r}",
            f"has no score: {single.missing['score']}",
            "leave the task out, or give it a score",
        )
    probe.load(_with_head(family, load_file(base), task.name))
    try:
        commonest = majority(test.labels)
    except UndefinedError:
        commonest = None
    return {
        "base": asdict(measure(probe, test)),
        "single": asdict(single),
        "sizes": _sizes(task),
        "majority": commonest,
    }


def evaluate_merge(
    tasks: Sequence[Task],
    base: Path,
    models: Mapping[str, Path],
    method: str,
    *,
    params: Mapping[str, object],
    seed: int,
    reestimate_batchnorm: bool,
) -> dict[str, dict[str, Any]]:
    """Merge the models of some tasks and evaluate each task, by its name.

    Parameters
    ----------
    tasks : sequence of Task
        The members' tasks.
    base : Path
        The base's safetensors file.
    models : mapping of str to Path
        Task name to the model's file.
    method : str
        Name of the merging method.
    params : mapping
        Its parameters.
    seed : int
        Of random masks.
    reestimate_batchnorm : bool
        Measure BatchNorm's running statistics anew, on each task's calibration samples.

    Returns
    -------
    dict
        Task name to `TaskScore` as plain data; where the merge does not exist, its reason.
    """
    private = sorted({pattern for task in tasks for pattern in task.private})
    family = Family.open(base, models, private=private)
    try:
        merged = merge(family, method, params=params, seed=seed)
    except (FamilyError, UndefinedError) as error:
        nothing = TaskScore({}, dict.fromkeys(QUANTITIES, str(error)), 0, 0)
        return {task.name: asdict(nothing) for task in tasks}
    scores = {}
    probe: Probe | None = None
    for task in tasks:
        same = probe is not None and probe.task.blueprint == task.blueprint
        probe = Probe(task, module=probe.module if probe and same else None)
        state = _with_head(family, merged, task.name)
        if reestimate_batchnorm and batchnorm_layers(probe.module):
            calibration = task.samples(None, 0, "calibration")
            state = reestimated(probe, state, calibration, task.batch_size)
        probe.load(state)
        scores[task.name] = asdict(measure(probe, task.samples(None, 0, "test")))
    return scores


def _with_head(family: Family, state: Mapping[str, Tensor], member: str) -> dict[str, Tensor]:
    """What the family shares as it is in `state`, the rest from the member's own model."""
    shared = {name: state[name] for name in family.shared}
    return {**shared, **private_parameters(family, member)}


def _sizes(task: Task) -> dict[str, int]:
    """Samples of each split that the task has; a model may have been trained elsewhere."""
    sizes: dict[str, int] = {}
    for split in _SPLITS:
        try:
            sizes[split] = task.size(split)
        except UsageError:
            continue
    return sizes
