"""``suite.json``: what a run folder holds, so that nothing else is ever mixed into it."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, Field, ValidationError

from mergecast.errors import UsageError
from mergecast.runtime.files import write_text
from mergecast.suites.named import suite_named
from mergecast.suites.plan import RunPlan
from mergecast.suites.units import Run
from mergecast.tables.tiers import Tier
from mergecast.tasks.task import Task
from mergecast.version import __version__

#: Raised when what is stored in a folder is found by other means than before.
FORMAT = 2
_FILE = "suite.json"
_PACKAGES = ("torch", "numpy", "scikit-learn", "pandas")


class _RunFile(BaseModel):
    """The fields of ``suite.json``; earlier formats had fewer."""

    format: int = 1
    suite: str
    seed: int
    recipe: dict[str, Any]
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    tier: Tier = "weights"
    n_sets: int = Field(0, validation_alias=AliasChoices("n_sets", "sets"))
    stages: dict[str, int] = {}
    versions: dict[str, str] = {}


def write_run(plan: RunPlan) -> None:
    """Write ``suite.json``; another cut may replace the one there, another run may not.

    Parameters
    ----------
    plan : RunPlan
        What the folder will hold.

    Raises
    ------
    UsageError
        The folder holds another run, naming the first thing that differs, or one of an earlier
        version of mergecast, whose units cannot be told to be right still.
    """
    path = plan.run.folder / _FILE
    new = _described(plan)
    if path.exists():
        old = _current(path)
        for name, before, after in _identity(old, new, plan.run.recipe.may_change):
            if before != after:
                raise UsageError(
                    plan.run.folder,
                    f"holds a run with {name} {before!r}, not {after!r}",
                    "choose another folder, or ask for the same again",
                )
    write_text(path, new.model_dump_json(indent=1) + "\n")


def read_run(folder: Path, *, unfinished: bool = False) -> RunPlan:
    """The run that `folder` holds, of this version or an earlier one.

    Parameters
    ----------
    folder : Path
        The run folder.
    unfinished : bool
        Whether its units are of interest: then it must be of this version.

    Raises
    ------
    UsageError
        There is none, it is damaged, or another version wrote it, with what to do.
    """
    path = folder / _FILE
    if not path.exists():
        raise UsageError(folder, f"holds no suite run (no {_FILE})", "start one by `bench run`")
    content = _current(path) if unfinished else _read(path)
    try:
        recipe = suite_named(content.suite).recipe_type.model_validate(content.recipe)
    except ValidationError as error:
        raise UsageError(
            path,
            f"holds a recipe this version does not know ({error.error_count()} fields)",
            "use the version that wrote it or another folder",
        ) from error
    run = Run(folder, content.suite, recipe, content.seed)
    return RunPlan(run, content.tasks, content.methods, content.tier, content.n_sets)


def run_tasks(folder: str | Path) -> dict[str, Task]:
    """The tasks of the suite run in `folder`, by the name of their model; errors of `read_run`."""
    plan = read_run(Path(folder))
    return {name: plan.run.task(name) for name in plan.tasks}


def _described(plan: RunPlan) -> _RunFile:
    return _RunFile(
        format=FORMAT,
        suite=plan.run.suite_name,
        seed=plan.run.seed,
        recipe=plan.run.recipe.model_dump(mode="json"),
        tasks=plan.tasks,
        methods=plan.methods,
        tier=plan.tier,
        n_sets=plan.n_sets,
        stages=plan.stages(),
        versions={
            "mergecast": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
        },
    )


def _read(path: Path) -> _RunFile:
    try:
        content = _RunFile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(
            path,
            f"cannot be read: {_problem(error)}",
            "delete it to start anew with the same settings",
        ) from error
    if content.format > FORMAT:
        raise UsageError(
            path,
            f"was written by a newer mergecast (format {content.format}, known up to {FORMAT})",
            "update mergecast, or use another folder",
        )
    return content


def _problem(error: OSError | ValidationError) -> str:
    if isinstance(error, OSError):
        return str(error.strerror)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}"


def _current(path: Path) -> _RunFile:
    """The file, of a run that this version can go on with."""
    content = _read(path)
    if content.format < FORMAT:
        raise UsageError(
            path.parent,
            "holds a run of an earlier mergecast, which does not say what its units were made by",
            "run the suite in another folder; the tables here can still be read",
        )
    return content


def _identity(old: _RunFile, new: _RunFile, may_change: bool) -> list[tuple[str, object, object]]:
    fields: list[tuple[str, object, object]] = [
        ("suite", old.suite, new.suite),
        ("seed", old.seed, new.seed),
    ]
    if may_change:
        return fields
    names = sorted({*old.recipe, *new.recipe})
    return fields + [(f"recipe.{n}", old.recipe.get(n), new.recipe.get(n)) for n in names]
