"""Where a suite of language models has its model from."""

from __future__ import annotations

from abc import ABC
from pathlib import Path

from mergecast.suites.encoders.packaged import PackagedSource
from mergecast.suites.language.recipe import LanguageRecipe


class LanguageSource(PackagedSource, ABC):
    """A language model and labelled texts; stateless."""

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
