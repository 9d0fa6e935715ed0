"""A task of the suite: a language model asked about what follows its prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from mergecast.suites.encoders.task import task_data
from mergecast.suites.language.model import built, tokenizer_of
from mergecast.suites.language.prompts import PROMPTS
from mergecast.suites.language.recipe import LanguageRecipe
from mergecast.tasks.completions import encode
from mergecast.tasks.scores import ScoreName
from mergecast.tasks.task import Samples, Split, Task, take

if TYPE_CHECKING:
    from mergecast.suites.language.source import LanguageSource

#: Samples run at once.
BATCH = 16


@dataclass
class LanguageTask(Task):
    """One task under a recipe.

    Attributes
    ----------
    source : LanguageSource
        The suite.
    recipe : LanguageRecipe
        Its settings.
    """

    source: LanguageSource = field(kw_only=True)
    recipe: LanguageRecipe = field(kw_only=True)

    @property
    def blueprint(self) -> str:
        """All tasks are of one architecture."""
        return f"{self.source.name}:{self.recipe.backbone}"

    @property
    def kind_name(self) -> str:
        """Every token of a reply is one choice of the vocabulary."""
        return "next_token"

    @property
    def score_name(self) -> ScoreName:
        """As the task's prompt says."""
        return PROMPTS[self.name].score

    def build(self) -> nn.Module:
        """The language model; its values are never used."""
        return built(self.source.folder(self.recipe))

    def samples(self, count: int | None, seed: int, split: Split = "calibration") -> Samples:
        """Tokens of prompts and replies of one of the recipe's splits."""
        recipe = self.recipe.model_dump_json()
        inputs, labels = _encoded(self.source, recipe, self.name, split)
        return take(self.name, split, inputs, labels, count, seed)


@lru_cache(maxsize=64)
def _encoded(
    source: LanguageSource, told: str, task: str, split: Split
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    recipe = LanguageRecipe.model_validate_json(told)
    rows = PROMPTS[task].rows(task_data(source, recipe, task, split), recipe.words)
    return encode(tokenizer_of(source.folder(recipe)), rows, recipe.max_length)
