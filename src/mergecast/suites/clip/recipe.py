"""The settings of ``clip-n20``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from mergecast.suites.suite import Recipe


class ClipRecipe(Recipe):
    """Which model is fine-tuned, on what, and how.

    Attributes
    ----------
    backbone : str
        A folder of a CLIP model, or ``org/name@revision`` of the hub.
    data : str
        A folder with a saved data set for each task, ``<data>/<task>``, or with a file of images
        and labels; without it data sets come from the hub.
    n_train, n_test : int or None
        The most samples of a split; None for all.
    n_calibration : int
        Samples that are taken from the training split, and not trained on.
    optimizer, rate, weight_decay, warmup
        AdamW, or SGD with momentum 0.9, at a rate that warms up over so many updates and falls by
        half a cosine; without a rate 1e-5 for AdamW and 1e-2 for SGD.
    batch, accumulate : int
        Samples of a pass, and passes of an update.
    clip : float
        The largest norm of a gradient.
    updates : int or None
        In the place of each task's epochs.
    """

    backbone: str = "openai/clip-vit-base-patch16"
    data: str = ""
    n_train: int | None = Field(None, ge=2)
    n_test: int | None = Field(1000, ge=1)
    n_calibration: int = Field(100, ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    rate: float | None = Field(None, gt=0)
    weight_decay: float = Field(0.1, ge=0)
    warmup: int = Field(500, ge=0)
    batch: int = Field(64, ge=1)
    accumulate: int = Field(2, ge=1)
    clip: float = Field(10.0, gt=0)
    updates: int | None = Field(None, ge=1)

    @classmethod
    def quick(cls) -> Self:
        """A few updates on a few samples."""
        few = {"n_train": 24, "n_test": 24, "n_calibration": 8, "batch": 8, "accumulate": 1}
        return cls.model_validate({**few, "updates": 2, "warmup": 0, "rate": 1e-3})
