"""A task of a suite of encoders: the encoder with the task's head, samples from its cache."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from mergecast.errors import UsageError
from mergecast.suites.encoders.data import Labelled
from mergecast.suites.encoders.model import Classifier
from mergecast.suites.encoders.packaged import PackagedSource
from mergecast.suites.encoders.recipe import EncoderRecipe, TrainingRecipe
from mergecast.suites.encoders.source import EncoderSource
from mergecast.tasks.task import Samples, Split, Task, take

HEAD = "head.*"
#: Samples run at once.
BATCH = 64


@dataclass
class EncoderTask(Task):
    """One task under a recipe.

    Attributes
    ----------
    source : EncoderSource
        The suite.
    recipe : EncoderRecipe
        Its settings.
    """

    source: EncoderSource[Any] = field(kw_only=True)
    recipe: EncoderRecipe = field(kw_only=True)

    @property
    def blueprint(self) -> str:
        """Tasks differ in their heads only."""
        return f"{self.source.name}:{self.recipe.backbone}"

    def build(self) -> nn.Module:
        """The classifier; its values are never used."""
        encoder, width = self.source.encoder(self.recipe)
        classes = len(task_data(self.source, self.recipe, self.name, "test").classes)
        return Classifier(encoder, width, classes)

    def samples(self, count: int | None, seed: int, split: Split = "calibration") -> Samples:
        """Inputs and classes of one of the recipe's splits."""
        recipe = self.recipe.model_dump_json()
        # What a model is trained on is asked for once, and is many times what it is tested on.
        read = _inputs.__wrapped__ if split == "train" else _inputs
        inputs, labels = read(self.source, recipe, self.name, split)
        return take(self.name, split, inputs, labels, count, seed)


def task_data(source: PackagedSource, recipe: TrainingRecipe, task: str, split: Split) -> Labelled:
    """One split of a task, as it lies in the suite's cache.

    Raises
    ------
    UsageError
        There is no such split.
    ResourceError
        The suite was not fetched.
    """
    data = _whole(source, task)
    rows = recipe.split(list(data.groups))
    if split not in rows:
        raise UsageError.unknown("split", split, rows)
    return data.rows(rows[split])


@lru_cache(maxsize=4)
def _whole(source: PackagedSource, task: str) -> Labelled:
    return Labelled.load(source.prepared() / f"{task}.npz")


@lru_cache(maxsize=64)
def _inputs(
    source: EncoderSource[Any], recipe: str, task: str, split: Split
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    of = source.recipe_type.model_validate_json(recipe)
    data = task_data(source, of, task, split)
    return source.inputs(of, data), torch.from_numpy(data.labels)
