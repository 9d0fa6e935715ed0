"""Options about running models: their tasks, how many samples, where, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mergecast.tasks.task import Task

TasksOption = Annotated[
    Path | None,
    typer.Option("--tasks", help="YAML file of the models' tasks, or a run's folder."),
]
CacheOption = Annotated[
    Path | None, typer.Option("--cache", help="Folder of finished work, to resume from.")
]
CalibrationOption = Annotated[
    int, typer.Option("--calibration", min=1, help="Samples of every task.")
]
LayerOption = Annotated[
    str | None, typer.Option("--layer", help="Block to take activations of; the last one.")
]
BatchSizeOption = Annotated[int, typer.Option("--batch-size", min=1, help="Samples run at once.")]
ProbeSeedOption = Annotated[
    int, typer.Option("--seed", min=0, help="Seed of the choice of samples.")
]


def read_tasks(path: Path | None) -> dict[str, Task] | None:
    """The tasks of a file, or of the suite that was run in a folder; None without either."""
    if path is None:
        return None
    if path.is_dir():
        from mergecast.suites.folder import run_tasks

        return run_tasks(path)
    from mergecast.tasks.load import load_tasks

    return load_tasks(path)


def private_patterns(private: Sequence[str] | None, tasks: Mapping[str, Task] | None) -> list[str]:
    """Patterns of the parameters that are not shared: those given, and the tasks' heads."""
    heads = {pattern for task in (tasks or {}).values() for pattern in task.private}
    return [*(private or ()), *sorted(heads)]
