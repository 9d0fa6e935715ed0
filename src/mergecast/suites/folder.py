"""``suite.json``: what a run folder holds, so that nothing else is ever mixed into it."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mergecast.errors import UsageError
from mergecast.runtime.files import write_json
from mergecast.suites.registered import open_suite
from mergecast.suites.units import Run
from mergecast.tables.tiers import Tier, known_tier
from mergecast.version import __version__

_FILE = "suite.json"
_PACKAGES = ("torch", "numpy", "scikit-learn", "pandas")


@dataclass(frozen=True)
class RunFile:
    """A run with the cut it was asked for.

    Task names sorted, methods as given, tier of pairs, random sets of each size beside the pairs.
    """

    run: Run
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    tier: Tier = "weights"
    sets: int = 0


def describe(plan: RunFile) -> dict[str, Any]:
    """What ``suite.json`` holds: suite, seed, recipe, tasks, methods, tier, sets and versions."""
    return {
        "suite": plan.run.suite_name,
        "seed": plan.run.seed,
        "recipe": plan.run.recipe.model_dump(mode="json"),
        "tasks": list(plan.tasks),
        "methods": list(plan.methods),
        "tier": plan.tier,
        "sets": plan.sets,
        "versions": {
            "mergecast": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
        },
    }


def write_run(plan: RunFile) -> None:
    """Write ``suite.json``; another cut may replace the one there, another run may not.

    Raises UsageError naming the first thing that differs.
    """
    path = plan.run.folder / _FILE
    new = describe(plan)
    if path.exists():
        old = _read(path)
        for name, there, here in _identity(old, new):
            if there != here:
                raise UsageError(
                    plan.run.folder,
                    f"holds a run with {name} {there!r}, not {here!r}",
                    "choose another folder, or ask for the same again",
                )
    write_json(path, new)


def read_run(folder: Path) -> RunFile:
    """The run that `folder` holds; raises UsageError when there is none or it is not readable."""
    path = folder / _FILE
    if not path.exists():
        raise UsageError(folder, f"holds no suite run (no {_FILE})", "start one by `bench run`")
    content = _read(path)
    try:
        recipe = open_suite(content["suite"]).recipe_type.model_validate(content["recipe"])
    except ValidationError as error:
        raise UsageError(
            path,
            f"holds a recipe this version does not know ({error.error_count()} fields)",
            "use the version that wrote it or another folder",
        ) from error
    run = Run(folder, content["suite"], recipe, content["seed"])
    tier = known_tier(content.get("tier", "weights"))
    # A run of an earlier version measured pairs alone, and its file says nothing of sets.
    sets = content.get("sets", 0)
    return RunFile(run, tuple(content["tasks"]), tuple(content["methods"]), tier, sets)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not {"suite", "seed", "recipe", "tasks", "methods"} <= content.keys():
            raise ValueError("fields are missing")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UsageError(
            path, f"cannot be read: {error}", "delete it to start anew with the same settings"
        ) from error
    result: dict[str, Any] = content
    return result


def _identity(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    fields = [(name, old[name], new[name]) for name in ("suite", "seed")]
    names = sorted({*old["recipe"], *new["recipe"]})
    recipe = [(f"recipe.{n}", old["recipe"].get(n), new["recipe"].get(n)) for n in names]
    return fields + recipe
