"""The twenty data sets: where the hub has them, how their classes are asked for, and for how long.

N8, N14 and N20 of arXiv 2601.22285 are the first 8, 14 and 20. Epochs of the first eight are those
of the code of Ilharco et al. 2023 (arXiv 2212.04089), the others' those of the code of Wang et al.
2024 (arXiv 2405.07813), as far as known; they were not run here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_PHOTO = ("a photo of a {}.", "a blurry photo of a {}.", "a photo of the {}.")
_DIGIT = ('a photo of the number: "{}".',)
_TEXTURE = ("a photo of a {} texture.", "a photo of the {} pattern.")
_FROM_ABOVE = ("a satellite photo of {}.", "an aerial photo of {}.")
_CHARACTER = ("a photo of the handwritten character {}.",)
_DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Source:
    """One data set.

    Attributes
    ----------
    hub : str
        Its name there.
    epochs : int
        Of fine-tuning.
    templates : tuple of str
        Texts for its classes, whose features are averaged.
    config : str or None
        Of the data set.
    train, test : str
        Names of its splits.
    image, label : str
        Names of its columns.
    classes : tuple of str
        What its classes are called, where the data set itself does not say.
    """

    hub: str
    epochs: int
    templates: tuple[str, ...] = _PHOTO
    config: str | None = None
    train: str = "train"
    test: str = "test"
    image: str = "image"
    label: str = "label"
    classes: tuple[str, ...] = ()


#: By the names that the paper calls them.
SOURCES: Mapping[str, Source] = {
    "sun397": Source("tanganke/sun397", 14),
    "cars": Source("tanganke/stanford_cars", 35, ("a photo of a {}.", "a photo of my {}.")),
    "resisc45": Source("tanganke/resisc45", 15, _FROM_ABOVE),
    "eurosat": Source("tanganke/eurosat", 12, _FROM_ABOVE),
    "svhn": Source("ufldl-stanford/svhn", 4, _DIGIT, config="cropped_digits", classes=_DIGITS),
    "gtsrb": Source("tanganke/gtsrb", 11, ('a photo of a "{}" traffic sign.',)),
    "mnist": Source("ylecun/mnist", 5, _DIGIT, classes=_DIGITS),
    "dtd": Source("tanganke/dtd", 76, _TEXTURE),
    "flowers102": Source(
        "dpdl-benchmark/oxford_flowers102", 147, ("a photo of a {}, a type of flower.",)
    ),
    "pcam": Source(
        "1aurent/PatchCamelyon",
        1,
        ("this is a photo of {}.",),
        train="train",
        test="test",
        classes=("lymph node", "lymph node with tumor tissue"),
    ),
    "fer2013": Source(
        "clip-benchmark/wds_fer2013",
        10,
        ("a photo of a {} looking face.",),
        image="jpg",
        label="cls",
        classes=("angry", "disgusted", "fearful", "happy", "neutral", "sad", "surprised"),
    ),
    "oxford-pets": Source("timm/oxford-iiit-pet", 82, ("a photo of a {}, a type of pet.",)),
    "stl10": Source("tanganke/stl10", 5),
    "cifar100": Source("tanganke/cifar100", 6),
    "cifar10": Source("tanganke/cifar10", 6),
    "food101": Source("ethz/food101", 4, ("a photo of {}, a type of food.",), test="validation"),
    "fashion-mnist": Source("zalando-datasets/fashion_mnist", 5),
    "emnist": Source("tanganke/emnist_letters", 2, _CHARACTER),
    "kmnist": Source("tanganke/kmnist", 5, _CHARACTER),
    "rendered-sst2": Source(
        "nateraw/rendered-sst2", 39, ("a {} review of a movie.",), classes=("negative", "positive")
    ),
}
