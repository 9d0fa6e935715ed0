"""A suite of a file as a recipe: all that the file says, and digests of what it names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from mergecast.checkpoints.hub import located
from mergecast.suites.described.spec import DescribedTask
from mergecast.suites.encoders.recipe import Tuning
from mergecast.suites.suite import Recipe

#: Where a recipe keeps the digest of its base: no task is called so.
BASE = "base/"
#: The fields that say how models are tuned.
TUNING = frozenset(Tuning.model_fields.keys() - Recipe.model_fields.keys())


class DescribedRecipe(Tuning):
    """What a file describes.

    Attributes
    ----------
    name : str
        What tables call the suite.
    folder : Path
        Where relative paths start.
    base : Path
        The base, from there.
    freeze : tuple of str
        Patterns of parameters that tuning leaves as they are.
    tasks : mapping of str to DescribedTask
        Tasks by the label of their model.
    contents : mapping of str to str
        Digest of all files that a task names, by its label; of the base's under ``base/``.
    """

    #: A folder goes on with other tasks and other files: units are kept by what made them.
    may_change: ClassVar[bool] = True

    regime: Literal["full", "lora"] = "full"
    name: str
    folder: Path
    base: Path
    freeze: tuple[str, ...] = ()
    tasks: Mapping[str, DescribedTask]
    contents: Mapping[str, str]

    @property
    def base_path(self) -> Path:
        """Where the base lies; of the hub's what was fetched."""
        return located(self.folder, self.base)

    def training(self, tasks: Collection[str] = ()) -> dict[str, Any]:
        """What decides the base and the models of `tasks`: other tasks may come and go."""
        common = self.model_dump(mode="json", include={"freeze", *TUNING})
        chosen = sorted(tasks)
        return {
            **common,
            "base": self.contents[BASE],
            "tasks": {x: self.tasks[x].model_dump(mode="json") for x in chosen},
            "contents": {x: self.contents[x] for x in chosen},
        }
