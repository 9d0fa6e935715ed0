"""What a suite must give so that one runner can fine-tune, merge and evaluate it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from mergecast.errors import UsageError
from mergecast.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from mergecast.tasks.task import Task


class Recipe(BaseModel):
    """All that decides a suite's numbers beside the seed; the base of every suite's own recipe.

    Its JSON is part of the key of every stored result: another value is another result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    merging: Mapping[str, Mapping[str, float | int | str | bool]] = {}
    """Parameters of a merging method, by its name, where they differ from its defaults."""


@dataclass(frozen=True)
class TaskSize:
    """How much data a task has, and the score of always answering the commonest class."""

    n_train: int
    n_calibration: int
    n_eval: int
    n_classes: int
    majority: float


@dataclass(frozen=True)
class Evaluation:
    """A model on a task's test samples.

    score : share of right answers in [0, 1].
    loss : mean cross-entropy in nats.
    probability : mean probability given to the true class, in [0, 1]: smoother than the score.
    """

    score: float
    loss: float
    probability: float
    n_eval: int


RecipeT = TypeVar("RecipeT", bound=Recipe)


class Suite(ABC, Generic[RecipeT]):
    """A base model, tasks, and a way to fine-tune and evaluate; all stateless.

    State dicts map parameter names to CPU tensors. The encoder is shared and merged; the head
    (every name starting with ``head.``) is a task's own, trained first on the frozen base, then
    frozen, and never merged. The same arguments must give the same tensors in any process:
    randomness comes from `mergecast.runtime.seeds` only.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    recipe_type: type[RecipeT]

    @abstractmethod
    def fetch(self, folder: Path) -> str:
        """Bring data and weights that are not bundled into `folder`; says what was done."""

    @abstractmethod
    def task_size(self, recipe: RecipeT, task: str) -> TaskSize:
        """Counts of the disjoint splits of `task`, and its majority score."""

    @abstractmethod
    def base(self, recipe: RecipeT, seed: int) -> dict[str, Tensor]:
        """The base encoder, pre-trained here or loaded."""

    @abstractmethod
    def head(
        self, recipe: RecipeT, seed: int, task: str, base: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The head of `task` on the frozen base: a linear probe, or made from class names."""

    @abstractmethod
    def fine_tune(
        self,
        recipe: RecipeT,
        seed: int,
        task: str,
        base: Mapping[str, Tensor],
        head: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """The encoder fine-tuned on `task` under its frozen head."""

    @abstractmethod
    def evaluate(
        self,
        recipe: RecipeT,
        task: str,
        encoder: Mapping[str, Tensor],
        head: Mapping[str, Tensor],
    ) -> Evaluation:
        """Encoder and head on the test split of `task`.

        Raises UndefinedError when the output is not finite.
        """

    def settle(
        self, recipe: RecipeT, members: Sequence[str], merged: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """What a merged encoder needs before it is evaluated; nothing, unless overridden.

        A network with BatchNorm re-estimates its running statistics here, on the members'
        calibration samples.
        """
        del recipe, members
        return merged

    def task(self, recipe: RecipeT, task: str) -> Task:
        """How probes run `task`'s models; raises UsageError for a suite without."""
        del recipe, task
        raise UsageError(
            f"suite {self.name!r}", "has no probes", "use the weights tier, or a file of tasks"
        )


SUITES: Registry[Suite[Any]] = Registry("suite")
"""Suites by name; `mergecast.suites.registered` registers those that come with the package."""
