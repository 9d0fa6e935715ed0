"""Inputs as people have them: a family or its files, tasks or their file, a forecaster's name."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mergecast.errors import UsageError
from mergecast.family.family import Family
from mergecast.family.models import Models, paths_of
from mergecast.typing import Names, listed

if TYPE_CHECKING:
    from mergecast.tasks.task import Task

log = logging.getLogger(__name__)

#: A file of tasks, a suite's run folder, or label to task.
Tasks: TypeAlias = "str | Path | Mapping[str, Task] | None"


def load_tasks(path: str | Path) -> dict[str, Task]:
    """The tasks of a YAML file, or of the suite that was run in a folder, by label of their model.

    Parameters
    ----------
    path : str or Path
        A file of tasks, or a suite's run folder.

    Raises
    ------
    UsageError
        No such file, or line and field of what is wrong in it; a folder without a run.

    Examples
    --------
    >>> tasks = load_tasks("tasks.yaml")
    >>> sorted(tasks), tasks["a"].private
    (['a', 'b'], ('head.*',))
    """
    if Path(path).is_dir():
        from mergecast.suites.folder import run_tasks

        return run_tasks(path)
    from mergecast.tasks.load import load_tasks as read

    return read(path)


def log_refused(refused: Mapping[str, object]) -> None:
    """Say at once which models are left out: the rest may take hours."""
    for label, reason in refused.items():
        log.warning("refused %s: %s", label, reason)


def refuse_table(path: str | Path) -> None:
    """Raise UsageError for output that would replace a table, most likely one that is read."""
    suffix = Path(path).suffix
    if suffix in {".parquet", ".csv"}:
        raise UsageError(path, f"ends in {suffix}, as tables do", "give another file name")


def open_tasks(tasks: Tasks, tier: str) -> Mapping[str, Task] | None:
    """The tasks asked for; raises UsageError where a tier needs some and there are none."""
    if tasks is None and tier != "weights":
        raise UsageError(
            "tasks", f"not given, but tier {tier!r} runs models", "give a task file or a run folder"
        )
    return load_tasks(tasks) if isinstance(tasks, str | Path) else tasks


def heads_of(tasks: Mapping[str, Task] | None, labels: Iterable[str]) -> list[str]:
    """Patterns of what is private in the tasks of these models; a file may have tasks of others."""
    mine = [tasks[label] for label in labels if label in tasks] if tasks else []
    return sorted({pattern for task in mine for pattern in task.private})


def open_family(
    family: Family | str | Path,
    models: Models | None,
    *,
    private: Names = (),
    strict: bool = True,
    vocabulary: str | None = None,
    tasks: Mapping[str, Task] | None = None,
    refuse: bool = False,
) -> Family:
    """A family as it is given, or opened from its base and models; the tasks' heads are private.

    Raises
    ------
    UsageError
        Models or patterns beside a family that is open already, a base without models.
    CheckpointError, FamilyError
        As `Family.open`.
    """
    if isinstance(family, Family):
        heads = heads_of(tasks, family.names)
        beside = {"models": models, "private": private or None, "vocabulary": vocabulary}
        if given := [thing for thing, value in beside.items() if value is not None]:
            [thing, *_] = given
            remedy = "give them to Family.open, or give the base's path instead of the family"
            raise UsageError(thing, "given beside a family that is open", remedy)
        return family.without(heads) if heads else family
    if models is None:
        raise UsageError("models", "none given", "give the fine-tuned models beside the base")
    opened = Family.open(
        family,
        models,
        private=[*listed(private), *heads_of(tasks, paths_of(models))],
        strict=strict,
        vocabulary=vocabulary,
        on_error="refuse" if refuse else "raise",
    )
    log_refused(opened.refused)
    return opened
