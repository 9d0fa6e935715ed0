"""``digits-14``: a real image set and a small vision transformer, pre-trained here, no download.

The base is a short-trained generalist: digits turned, mirrored and inverted at random, so that it
knows a little of every task and is good at none. Fourteen specialists follow: a head is probed on
the frozen base and frozen, then the encoder is fine-tuned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mergecast.suites.digits.data import TASKS
from mergecast.suites.digits.recipe import DigitsRecipe
from mergecast.suites.suite import SUITES, Suite

if TYPE_CHECKING:
    from torch import Tensor

    from mergecast.suites.digits.task import DigitsTask


class Digits(Suite[DigitsRecipe]):
    """Fourteen tasks on scikit-learn's digits; seconds a model on one core."""

    name = "digits-14"
    description = "a 3-layer ViT of width 64 on scikit-learn's digits; nothing to download"
    tasks = TASKS
    recipe_type = DigitsRecipe
    modules = tuple(
        f"mergecast.suites.digits.{name}"
        for name in ("data", "model", "recipe", "task", "training")
    )

    def fetch(self) -> str:
        """Nothing: the images come with scikit-learn and the base is pre-trained by `run`."""
        return "digits-14 needs no download: its images are bundled with scikit-learn"

    def task(self, recipe: DigitsRecipe, name: str) -> DigitsTask:
        """The encoder with the task's head; all test images make one forward pass."""
        from mergecast.suites.digits.task import DigitsTask

        return DigitsTask(name, private=("head.*",), batch_size=recipe.n_test, recipe=recipe)

    def base(self, recipe: DigitsRecipe, seed: int) -> dict[str, Tensor]:
        """A generalist that is good at none; see `training.pre_train`."""
        from mergecast.suites.digits.training import pre_train

        return pre_train(recipe, seed)

    def fine_tune(
        self, recipe: DigitsRecipe, seed: int, task: str, base: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """A specialist, head first; see `training.fine_tune`."""
        from mergecast.suites.digits.training import fine_tune

        return fine_tune(recipe, seed, task, base)


SUITES.add(Digits.name, Digits())
