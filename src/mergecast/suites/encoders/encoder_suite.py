"""A suite of a pre-trained encoder: heads first, then the encoder is fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mergecast.suites.encoders.source import EncoderRecipeT, EncoderSource
from mergecast.suites.suite import Suite

if TYPE_CHECKING:
    from torch import Tensor

    from mergecast.suites.encoders.task import EncoderTask

#: The modules that every suite of encoders is made of, for its `Suite.modules`.
SHARED = tuple(
    f"mergecast.suites.encoders.{name}"
    for name in (
        "data",
        "encoder_suite",
        "libraries",
        "model",
        "optimizing",
        "packaged",
        "recipe",
        "source",
        "splits",
        "task",
        "training",
    )
)

#: How the models of such suites are merged, unless they are told otherwise: the methods people use,
#: and those that have a strength at more than one.
RECIPES = (
    "weight_avg",
    "task_arithmetic",
    "task_arithmetic(scaling=0.7)",
    "task_arithmetic(scaling=1)",
    "ties",
    "ties(density=0.5, scaling=1)",
    "dare",
    "della",
    "tsv",
    "isotropic",
    "model_stock",
)


class EncoderSuite(EncoderSource[EncoderRecipeT], Suite[EncoderRecipeT]):
    """A source of encoders and data, and how it becomes models; all stateless."""

    recipes = RECIPES

    def label(self, recipe: EncoderRecipeT) -> str:
        """``text-15/minilm-l3``, or ``…/lora`` and ``…/easy`` by regime."""
        regime = "" if recipe.regime == "full" else f"/{recipe.regime}"
        return f"{self.name}/{recipe.backbone}{regime}"

    def check(self, recipe: EncoderRecipeT) -> None:
        """Raise ResourceError where something was not fetched, before anything is run."""
        self.prepared()
        self.encoder(recipe)

    def task(self, recipe: EncoderRecipeT, name: str) -> EncoderTask:
        """The encoder with the task's head."""
        from mergecast.suites.encoders.task import BATCH, HEAD, EncoderTask

        return EncoderTask(name, private=(HEAD,), batch_size=BATCH, source=self, recipe=recipe)

    def base(self, recipe: EncoderRecipeT, seed: int) -> dict[str, Tensor]:
        """The pre-trained encoder, the same for every seed."""
        del seed
        return {f"encoder.{name}": value for name, value in self.weights(recipe).items()}

    def fine_tune(
        self, recipe: EncoderRecipeT, seed: int, task: str, base: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Head first, then the encoder; see `training.fine_tune`."""
        from mergecast.suites.encoders.training import fine_tune

        return fine_tune(self, recipe, seed, task, base)
