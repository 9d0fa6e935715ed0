"""A suite of a language model: prompts of labelled texts, and adapters that learn the replies."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mergecast.runtime.seeds import derived_seed, generator
from mergecast.suites.encoders.encoder_suite import RECIPES, SHARED
from mergecast.suites.language.recipe import LanguageRecipe
from mergecast.suites.language.source import LanguageSource
from mergecast.suites.suite import Suite

if TYPE_CHECKING:
    from torch import Tensor

    from mergecast.suites.language.task import LanguageTask

_HERE = "mergecast.suites.language"
#: The modules that such suites are made of, for their `Suite.modules`.
MODULES = (
    *SHARED,
    *(
        f"{_HERE}.{name}"
        for name in ("language_suite", "model", "prompts", "recipe", "source", "task")
    ),
)
#: Learning rates of AdamW by regime, so high that merges lose something.
_RATES = {"lora": 2e-3, "full": 1e-4}


class LanguageSuite(LanguageSource, Suite[LanguageRecipe], ABC):
    """A source of language models and labelled texts, and how it becomes models; all stateless."""

    recipe_type = LanguageRecipe
    recipes = RECIPES

    def label(self, recipe: LanguageRecipe) -> str:
        """``lm-6/smollm2-135m/lora``; of a hub's model or a folder the last part of its name."""
        model = Path(recipe.backbone).name
        return f"{self.name}/{model}{'' if recipe.regime == 'full' else f'/{recipe.regime}'}"

    def check(self, recipe: LanguageRecipe) -> None:
        """Raise an error where something was not fetched, or the model is not there."""
        self.folder(recipe)

    def task(self, recipe: LanguageRecipe, name: str) -> LanguageTask:
        """The language model and the task's prompts."""
        from mergecast.suites.language.task import BATCH, LanguageTask

        return LanguageTask(name, batch_size=BATCH, source=self, recipe=recipe)

    def base(self, recipe: LanguageRecipe, seed: int) -> dict[str, Tensor]:
        """The pre-trained model, the same for every seed."""
        from mergecast.suites.language.model import weights

        del seed
        return weights(self.folder(recipe))

    def fine_tune(
        self, recipe: LanguageRecipe, seed: int, task: str, base: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """AdamW on replies alone, by adapters of all linear layers or in full."""
        import torch
        from torch import nn

        from mergecast.suites.encoders.optimizing import adapted, train
        from mergecast.suites.language.model import untied

        made = self.task(recipe, task)
        given = made.samples(None, 0, "train")
        with torch.random.fork_rng(devices=()):
            module = made.build()
            module.load_state_dict(dict(base), strict=False)
            torch.manual_seed(derived_seed(seed, "fine-tune", task, "module"))
            trained = module
            if recipe.regime == "lora":
                layers = [k for k, part in module.named_modules() if isinstance(part, nn.Linear)]
                trained = adapted(module, recipe, [k for k in layers if k != "lm_head"])

            def loss(rows: Tensor) -> Tensor:
                inputs = {name: value[rows] for name, value in given.inputs.items()}
                assert given.labels is not None
                return made.loss(made.logits(trained(**inputs)), given.labels[rows]).mean()

            rate = recipe.rate or _RATES[recipe.regime]
            draw = generator(seed, "fine-tune", task)
            train(trained, recipe, rate, len(given), draw, loss)
            if recipe.regime == "lora":
                module = trained.merge_and_unload()  # type: ignore[operator]
        return untied(module)
