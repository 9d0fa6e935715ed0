"""The settings of ``digits-14``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from mergecast.suites.digits.data import TaskData, task_data
from mergecast.suites.suite import Recipe


class DigitsRecipe(Recipe):
    """Sizes of the encoder and the splits, and settings of each of the three stages.

    Base and heads are trained by AdamW, models by `optimizer`: SGD has a momentum of 0.9.
    """

    width: int = Field(64, ge=8)
    depth: int = Field(3, ge=1)
    heads: int = Field(4, ge=1)
    hidden: int = Field(128, ge=8)

    n_test: int = Field(1000, ge=1)
    n_calibration: int = Field(100, ge=1)
    split_seed: int = 0
    batch: int = Field(32, ge=1)
    weight_decay: float = Field(0.01, ge=0)

    base_steps: int = Field(400, ge=0)
    base_batch: int = Field(64, ge=1)
    base_rate: float = Field(1e-3, gt=0)
    inverted_share: float = Field(0.25, ge=0, le=1)

    head_steps: int = Field(200, ge=1)
    head_rate: float = Field(1e-2, gt=0)

    steps: int = Field(300, ge=1)
    rate: float = Field(1e-3, gt=0)
    optimizer: Literal["adamw", "sgd"] = "adamw"

    @classmethod
    def quick(cls) -> Self:
        """One small layer, which learns almost nothing, in no time."""
        steps = {"base_steps": 4, "head_steps": 4, "steps": 4}
        return cls.model_validate({**steps, "n_test": 100, "depth": 1, "hidden": 16})

    def data(self, task: str) -> TaskData:
        """The splits of a task."""
        return task_data(task, self.n_test, self.n_calibration, self.split_seed)
