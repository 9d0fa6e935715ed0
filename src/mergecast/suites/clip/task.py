"""A task of the suite: the image encoder with the head that its class names make."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from mergecast.errors import UsageError
from mergecast.suites.clip.data import ImageData
from mergecast.suites.clip.model import built
from mergecast.suites.clip.recipe import ClipRecipe
from mergecast.tasks.pixels import PIXELS, PixelEncoder
from mergecast.tasks.task import Samples, Split, Task, draw

HEAD = "head.*"
#: Samples run at once.
BATCH = 32


@dataclass
class ClipTask(Task):
    """One task under a recipe.

    Attributes
    ----------
    folder : Path
        Of the CLIP model.
    recipe : ClipRecipe
        The suite's settings.
    """

    folder: Path = field(kw_only=True)
    recipe: ClipRecipe = field(kw_only=True)

    @property
    def blueprint(self) -> str:
        """Tasks differ in their heads only."""
        return f"clip-n20:{self.folder}"

    def build(self) -> nn.Module:
        """The encoder and a head of the task's classes; its values are never used."""
        return built(
            self.folder, len(_data(self.recipe.model_dump_json(), self.name, "calibration").classes)
        )

    def size(self, split: Split) -> int:
        """Number of samples of a split; no image is read."""
        return len(self._data(split))

    def samples(self, count: int | None, seed: int, split: Split = "calibration") -> Samples:
        """Pixels and classes; only the images that are asked for are read."""
        data = self._data(split)
        if split == "train":
            raise UsageError(
                f"task {self.name!r}", "trains on images as they are read", "ask for another split"
            )
        places = draw(len(data), count, seed, self.name, split).tolist()
        pixels = data.pixels(PixelEncoder(self.folder), places)
        ids = tuple(f"{self.name}/{split}/{place}" for place in places)
        return Samples({PIXELS: pixels}, data.labels[torch.tensor(places)], ids)

    def _data(self, split: Split) -> ImageData:
        return _data(self.recipe.model_dump_json(), self.name, split)


@lru_cache(maxsize=64)
def _data(recipe: str, task: str, split: Split) -> ImageData:
    return ImageData(ClipRecipe.model_validate_json(recipe), task, split)
