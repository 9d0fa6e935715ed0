"""A task of a described suite: of a file of tasks, with samples to train on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from mergecast.suites.described.spec import DescribedTask
from mergecast.tasks import models
from mergecast.tasks.file_task import FileTask
from mergecast.tasks.spec import DataSpec
from mergecast.tasks.task import Split


@dataclass
class DescribedFileTask(FileTask):
    """One task of a file; its head has as many classes as the file says."""

    spec: DescribedTask

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names that the file gives, or those of the model's config."""
        classes = self.spec.classes
        if isinstance(classes, tuple):
            return classes
        return super().class_names if classes is None else ()

    @property
    def blueprint(self) -> str:
        """Heads of different sizes are different modules."""
        return f"{super().blueprint}:{self.spec.n_classes}"

    @property
    def definition(self) -> dict[str, object]:
        """With how many classes the head has."""
        return {**super().definition, "classes": self.spec.n_classes}

    @property
    def splits(self) -> tuple[Split, ...]:
        """Those of any file, and what models are tuned on."""
        return super().splits if self.spec.train is None else ("train", *super().splits)

    def section(self, split: Split) -> DataSpec:
        """What the file says of a split's samples; raises UsageError where it says nothing."""
        train = self.spec.train if split == "train" else None
        return super().section(split) if train is None else train

    def build(self) -> nn.Module:
        """The architecture, its head with the file's classes."""
        spec = self.spec
        if not spec.n_classes or spec.head is not None:
            return super().build()
        folder = self.model_path(spec.model.folder)
        module = models.from_config(folder, str(spec.model.auto), spec.n_classes)
        models.give_pad_token(module)
        return module
