"""The settings that suites of pre-trained models share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from mergecast.suites.encoders.splits import split_rows
from mergecast.suites.suite import Recipe

if TYPE_CHECKING:
    from mergecast.tasks.task import Split
    from mergecast.typing import Array

Regime = Literal["full", "lora", "easy"]


class Tuning(Recipe):
    """How models are trained.

    Attributes
    ----------
    regime : str
        ``full``: all of the model but what the suite leaves as it is; ``lora``: adapters of its
        linear layers, which are then added to the weights; ``easy``, of encoders: as ``full``, at
        a tenth of the rate and under a head that is fitted on all training samples. Little is left
        to learn then, and merges lose little: to be told apart from what is at stake elsewhere.
    steps, batch, optimizer, rate, warmup, weight_decay
        AdamW, or SGD with momentum 0.9; the rate warms up and falls to zero, linearly. Without a
        rate the suite's own of the regime.
    rank, alpha : int, float
        Of the adapters.
    """

    regime: Regime = "full"
    steps: int = Field(200, ge=1)
    batch: int = Field(16, ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    rate: float | None = Field(None, gt=0)
    warmup: int = Field(20, ge=0)
    weight_decay: float = Field(0.01, ge=0)
    rank: int = Field(8, ge=1)
    alpha: float = Field(16, gt=0)


class TrainingRecipe(Tuning):
    """Which model is fine-tuned, how, and on how many samples.

    Attributes
    ----------
    backbone : str
        One of the suite's models.
    n_train, n_calibration, n_test : int
        The most samples of each split; a task that has fewer takes what it has.
    split_seed : int
        Of which sample lies in which split.
    """

    backbone: str
    n_train: int = Field(2000, ge=2)
    n_calibration: int = Field(100, ge=1)
    n_test: int = Field(500, ge=1)
    split_seed: int = 0

    @classmethod
    def quick(cls) -> Self:
        """A few steps on a few samples."""
        return cls.model_validate({"steps": 2, "n_train": 64, "n_test": 32, "n_calibration": 16})

    @property
    def sizes(self) -> dict[Split, int]:
        """The most samples of each split."""
        return {"train": self.n_train, "calibration": self.n_calibration, "test": self.n_test}

    def split(self, groups: Sequence[str]) -> dict[Split, Array]:
        """Rows of each split, of the groups of all samples; see `split_rows`."""
        return split_rows(groups, self.sizes, self.split_seed)


class EncoderRecipe(TrainingRecipe):
    """The same of an encoder, with a head for each task.

    Attributes
    ----------
    shots : int
        Training samples of each class that the head is fitted on, but in the regime ``easy``. Few
        of them leave the encoder something to learn, as heads made of class names do.
    head_penalty : float
        L2 penalty of the head's logistic regression (scikit-learn's 1 / C, a sample).
    """

    shots: int = Field(16, ge=1)
    head_penalty: float = Field(1e-3, gt=0)
