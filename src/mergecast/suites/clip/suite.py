"""``clip-n20``: the suite of arXiv 2601.22285, CLIP on twenty data sets.

Its models and data are the hub's, or folders of one's own: nothing of it comes with mergecast, and
it was run here on a tiny CLIP and pictures that tests draw alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mergecast.errors import CheckpointError, ResourceError, UsageError
from mergecast.suites.clip.recipe import ClipRecipe
from mergecast.suites.clip.sources import SOURCES
from mergecast.suites.suite import SUITES, Suite

if TYPE_CHECKING:
    from torch import Tensor

    from mergecast.tasks.task import Task

_HERE = "mergecast.suites.clip"


class Clip(Suite[ClipRecipe]):
    """Twenty tasks of images on CLIP's image encoder."""

    name = "clip-n20"
    description = "CLIP ViT-B/16 on the paper's 20 data sets, from the hub or folders"
    tasks = tuple(SOURCES)
    recipe_type = ClipRecipe
    modules = tuple(f"{_HERE}.{name}" for name in ("data", "model", "recipe", "sources", "task"))

    def fetch(self) -> str:
        """Bring model and data sets into the hub's cache, by the default recipe.

        Raises
        ------
        ResourceError
            One of them cannot be had; those before it stay.
        """
        from mergecast.suites.clip.data import ImageData

        recipe = ClipRecipe.of({})
        lines = [f"{self.name}: {recipe.backbone} in {self.folder(recipe)}"]
        for task in self.tasks:
            data = ImageData(recipe, task, "train")
            lines.append(f"  {task}: {len(data):,} samples of {len(data.classes)} classes")
        return "\n".join(lines)

    def label(self, recipe: ClipRecipe) -> str:
        """``clip-n20/clip-vit-base-patch16``, and the optimiser where it is not AdamW."""
        model = Path(recipe.backbone.partition("@")[0]).name
        return f"{self.name}/{model}{'' if recipe.optimizer == 'adamw' else '/sgd'}"

    def check(self, recipe: ClipRecipe) -> None:
        """Raise an error where the model is not there."""
        self.folder(recipe)

    def folder(self, recipe: ClipRecipe) -> Path:
        """Where the CLIP model lies.

        Raises
        ------
        UsageError
            It is neither a folder nor a name of the hub.
        ResourceError
            The hub does not give it.
        """
        from mergecast.checkpoints.hub import fetched, is_model_name

        path = Path(recipe.backbone)
        if path.is_dir():
            return path
        if not is_model_name(recipe.backbone):
            raise UsageError(
                f"backbone {recipe.backbone!r}",
                "is no folder, nor a name of the hub",
                "give the folder of a CLIP model, or org/name@revision",
            )
        try:
            return fetched(recipe.backbone)
        except CheckpointError as error:
            raise ResourceError(
                f"backbone {recipe.backbone}",
                error.problem,
                f"run `mergecast bench fetch {self.name}` where there is a network, or give a "
                "folder by --backbone",
            ) from error

    def task(self, recipe: ClipRecipe, name: str) -> Task:
        """The image encoder and a frozen head of the task's class names."""
        from mergecast.suites.clip.task import BATCH, HEAD, ClipTask

        return ClipTask(
            name, private=(HEAD,), batch_size=BATCH, folder=self.folder(recipe), recipe=recipe
        )

    def base(self, recipe: ClipRecipe, seed: int) -> dict[str, Tensor]:
        """The pre-trained image encoder, the same for every seed."""
        from mergecast.suites.clip.model import vision_weights

        del seed
        return vision_weights(self.folder(recipe))

    def fine_tune(
        self, recipe: ClipRecipe, seed: int, task: str, base: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The image encoder under the frozen head; see `model.fine_tune`."""
        from mergecast.suites.clip.model import fine_tune

        return fine_tune(self.folder(recipe), recipe, seed, task, base)


SUITES.add(Clip.name, Clip())
