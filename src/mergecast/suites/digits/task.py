"""A task of ``digits-14``: the encoder with its head, and samples from the recipe's splits."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from mergecast.errors import UsageError
from mergecast.suites.digits.model import Classifier
from mergecast.suites.digits.recipe import DigitsRecipe
from mergecast.tasks.task import Samples, Split, Task, take


@dataclass
class DigitsTask(Task):
    """One of the fourteen tasks under a recipe."""

    recipe: DigitsRecipe = field(kw_only=True)

    @property
    def blueprint(self) -> str:
        """Tasks differ in their heads only."""
        r = self.recipe
        return f"digits-14:{r.width}:{r.depth}:{r.heads}:{r.hidden}"

    def build(self) -> nn.Module:
        """The classifier on the meta device: none of its values is ever used."""
        r = self.recipe
        with torch.device("meta"):
            return Classifier(r.width, r.depth, r.heads, r.hidden, 10)

    def samples(self, count: int | None, seed: int, split: Split = "calibration") -> Samples:
        """Images and classes of one of the recipe's splits."""
        data = self.recipe.data(self.name)
        parts = {"train": data.train, "calibration": data.calibration, "test": data.test}
        if split not in parts:
            raise UsageError.unknown("split", split, parts)
        part = parts[split]
        return take(self.name, split, {"images": part.images}, part.labels, count, seed)
