"""Which suite a name means: a registered one, or a file that describes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergecast.errors import UsageError
from mergecast.suites.described.described_suite import DescribedSuite
from mergecast.suites.suite import SUITES, Recipe, Suite

#: How paths of files that describe suites end.
_ENDS = (".yaml", ".yml")
_DESCRIBED = DescribedSuite()


def suite_named(name: str) -> Suite[Any]:
    """A suite by what a run folder calls it; raises UsageError where there is none."""
    return _DESCRIBED if name == _DESCRIBED.name else SUITES.get(name)


def is_described(name: str | Path) -> bool:
    """Whether a suite is asked for by a file that describes it."""
    return Path(name).suffix.lower() in _ENDS


def asked_suite(
    name: str | Path, recipe: Recipe | None = None, settings: Mapping[str, object] | None = None
) -> tuple[Suite[Any], Recipe]:
    """A suite and its recipe, by a registered name or the path of a YAML file.

    Parameters
    ----------
    name : str or Path
        A name in `SUITES`, or a file ending in ``.yaml`` or ``.yml``.
    recipe : Recipe, optional
        The suite's settings; its defaults otherwise.
    settings : mapping of str to object, optional
        Those that differ, where no recipe is given.

    Raises
    ------
    UsageError
        No such suite or file, a setting that there is not, a recipe of another suite or beside
        settings.
    """
    settings = settings or {}
    if recipe is not None and settings:
        raise UsageError("recipe", "given beside single settings", "put them into the recipe")
    if is_described(name):
        from mergecast.suites.described.reading import read_described

        if recipe is not None:
            raise UsageError("recipe", f"given beside {name}", "say all of it in the file")
        return _DESCRIBED, read_described(name, settings)
    suite = SUITES.get(str(name))
    if recipe is None:
        recipe = suite.recipe_type.of(settings)
    elif not isinstance(recipe, suite.recipe_type):
        raise UsageError(
            "recipe", f"is a {type(recipe).__name__}", f"{name} takes {suite.recipe_type.__name__}"
        )
    return suite, recipe
