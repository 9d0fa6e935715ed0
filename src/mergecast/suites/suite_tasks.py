"""Tasks of a suite's run folder."""

from __future__ import annotations

from pathlib import Path

from mergecast.suites.folder import read_run
from mergecast.tasks.task import Task


def suite_tasks(run_dir: Path | str) -> dict[str, Task]:
    """The tasks of the suite run in `run_dir`, by the name of their model.

    Raises UsageError when the folder holds no run, or its suite has no probes.
    """
    content = read_run(Path(run_dir))
    suite, recipe = content.run.suite, content.run.recipe
    return {name: suite.task(recipe, name) for name in content.tasks}
