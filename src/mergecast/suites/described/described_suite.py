"""A suite of people's own: tasks, a base, and models that exist or are tuned, as a file says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mergecast.suites.described.recipe import DescribedRecipe
from mergecast.suites.encoders.encoder_suite import RECIPES
from mergecast.suites.suite import Suite

if TYPE_CHECKING:
    from torch import Tensor

    from mergecast.suites.described.task import DescribedFileTask


class DescribedSuite(Suite[DescribedRecipe]):
    """Whatever a file describes: the recipe holds all of it."""

    name = "described"
    description = "tasks and models of a YAML file of yours"
    tasks = ()
    recipe_type = DescribedRecipe
    recipes = RECIPES
    modules = (
        *(f"mergecast.suites.described.{name}" for name in ("recipe", "spec", "task", "tuning")),
        *(f"mergecast.suites.encoders.{name}" for name in ("optimizing", "recipe")),
    )

    def fetch(self) -> str:
        """Nothing: files and models are there, or come from the hub when they are asked for."""
        return "nothing to fetch: files and models are the user's own"

    def label(self, recipe: DescribedRecipe) -> str:
        """The file's name, ``…/lora`` by regime."""
        return recipe.name if recipe.regime == "full" else f"{recipe.name}/{recipe.regime}"

    def names(self, recipe: DescribedRecipe) -> tuple[str, ...]:
        """The tasks of the file."""
        return tuple(recipe.tasks)

    def check(self, recipe: DescribedRecipe) -> None:
        """Raise an error for files, columns and labels that a run would fail on."""
        from mergecast.suites.described.reading import check_described

        check_described(recipe)

    def task(self, recipe: DescribedRecipe, name: str) -> DescribedFileTask:
        """As the file says."""
        from mergecast.suites.described.task import DescribedFileTask

        return DescribedFileTask(name, recipe.tasks[name], recipe.folder)

    def base(self, recipe: DescribedRecipe, seed: int) -> dict[str, Tensor]:
        """The base that the file names, the same for every seed."""
        from mergecast.suites.described.tuning import base_state

        del seed
        return base_state(recipe)

    def fine_tune(
        self, recipe: DescribedRecipe, seed: int, task: str, base: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The model that the file names, or one tuned as it says."""
        from mergecast.suites.described.tuning import tuned

        return tuned(recipe, seed, task, base)
