"""The settings of ``lm-6``."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator

from mergecast.suites.encoders.recipe import Regime, TrainingRecipe


class LanguageRecipe(TrainingRecipe):
    """Settings of ``lm-6``.

    Attributes
    ----------
    words : int
        Words of a text that are given, or to be written.
    max_length : int
        Tokens of a prompt and its reply; longer prompts lose their beginning.
    """

    backbone: str = "smollm2-135m"
    regime: Regime = "lora"
    n_train: int = Field(1000, ge=2)
    n_test: int = Field(200, ge=1)
    steps: int = Field(60, ge=1)
    batch: int = Field(8, ge=1)
    warmup: int = Field(6, ge=0)
    words: int = Field(24, ge=1)
    max_length: int = Field(64, ge=4)

    @field_validator("regime")
    @classmethod
    def _has_no_head(cls, regime: Regime) -> Regime:
        if regime == "easy":
            raise ValueError("a language model has no head to be fitted first")
        return regime

    @classmethod
    def quick(cls) -> Self:
        """A few steps on a few samples."""
        few = super().quick().model_dump(exclude_defaults=True)
        return cls.model_validate({**few, "words": 8, "max_length": 24})
