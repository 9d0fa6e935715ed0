"""What suites of encoders are made of: encoders, and samples as their inputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from mergecast.suites.encoders.packaged import PackagedSource
from mergecast.suites.encoders.recipe import EncoderRecipe, Regime

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mergecast.suites.encoders.data import Labelled

EncoderRecipeT = TypeVar("EncoderRecipeT", bound=EncoderRecipe)


class EncoderSource(PackagedSource, Generic[EncoderRecipeT]):
    """Encoders and labelled samples that come out of packages of registries; stateless.

    Attributes
    ----------
    recipe_type : type of EncoderRecipe
        The suite's settings.
    frozen : tuple of str
        Patterns of the parameters of the encoder that full fine-tuning leaves as they are.
    rates : mapping of tuple of str to float
        AdamW's learning rate by backbone and regime, so high that merges lose something.
    """

    recipe_type: type[EncoderRecipeT]
    frozen: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[Mapping[tuple[str, Regime], float]]

    @abstractmethod
    def inputs(self, recipe: EncoderRecipeT, data: Labelled) -> dict[str, Tensor]:
        """Keyword inputs of the encoder, first dimension n."""

    @abstractmethod
    def encoder(self, recipe: EncoderRecipeT) -> tuple[nn.Module, int]:
        """A backbone, of any values, from inputs to features, and their width."""

    @abstractmethod
    def weights(self, recipe: EncoderRecipeT) -> dict[str, Tensor]:
        """The pre-trained values of all parameters and statistics of the encoder."""
