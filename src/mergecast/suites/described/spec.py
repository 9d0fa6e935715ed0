"""The fields of a file that describes a suite: a file of tasks, and how models are made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from mergecast.tasks.spec import DataSpec, TasksFile, TaskSpec


class DescribedTask(TaskSpec):
    """One task, and its model: tuned on `train`, or there already."""

    train: DataSpec | None = None
    """What the model is tuned on; what it does not say is as in `data`."""
    checkpoint: Path | None = None
    """A model that exists, instead of `train`: a folder, a file, or a name of the hub."""
    classes: tuple[str, ...] | int | None = None
    """The head's classes: names in their order, or how many; as the model's config says if not
    given."""

    @model_validator(mode="after")
    def _has_a_model_and_a_test(self) -> Self:
        if (self.train is None) == (self.checkpoint is None):
            raise ValueError("give either train, to tune a model, or checkpoint, one that exists")
        if self.test is None:
            raise ValueError("test is missing: merges are scored on its samples")
        if self.classes is not None and self.n_classes < 2:
            raise ValueError("classes are fewer than two")
        if self.classes is not None and self.model.folder is None:
            raise ValueError("classes are what `build` builds: say them there, by args")
        return self

    @property
    def n_classes(self) -> int:
        """How many classes the file names; 0 where it names none."""
        return len(self.classes) if isinstance(self.classes, tuple) else self.classes or 0


class DescribedFile(TasksFile):
    """The file: a file of tasks with a base, and how models are tuned."""

    name: str = Field("", pattern="^[^/+,]*$")
    """What tables call the suite; the file's own name if not given."""
    base: Path
    """The model that all were, or are, tuned from."""
    training: Mapping[str, Any] = {}
    """Settings of `mergecast.suites.encoders.recipe.Tuning`: steps, rate, regime and others."""
    freeze: tuple[str, ...] = ()
    """Glob patterns of parameters that tuning leaves as they are."""
    tasks: Mapping[str, DescribedTask] = Field(min_length=2)
