"""A task of ``digits-14`` as the probes see it: the encoder with its head, and its samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mergecast.errors import UsageError
from mergecast.suites.digits.data import task_data
from mergecast.suites.digits.model import Encoder
from mergecast.tasks.task import Samples, Split, Task, take

if TYPE_CHECKING:
    from mergecast.suites.digits.suite import DigitsRecipe


class Classifier(Encoder):
    """The encoder and a linear head; the encoder's parameters keep their names."""

    def __init__(self, width: int, depth: int, heads: int, hidden: int, classes: int) -> None:
        super().__init__(width, depth, heads, hidden)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 8, 8) in [0, 1] to logits (n, classes)."""
        logits: Tensor = self.head(super().forward(images))
        return logits


@dataclass
class DigitsTask(Task):
    """One of the fourteen tasks under a recipe; samples come from the recipe's splits."""

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
        """Images and classes of the recipe's calibration or test split."""
        r = self.recipe
        data = task_data(self.name, r.n_test, r.n_calibration, r.split_seed)
        parts = {"calibration": data.calibration, "test": data.test}
        if split not in parts:
            raise UsageError.unknown("split", split, parts)
        part = parts[split]
        return take(self.name, split, {"images": part.images}, part.labels, count, seed)
