"""Fourteen tasks made from scikit-learn's handwritten digits (1,797 images of 8x8, bundled).

Nine tasks transform the image and keep the ten digits as classes; five keep the image and ask
something else of the digit. All share one split by image index, so that no task's training
images are another task's test images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mergecast.errors import UsageError
from mergecast.runtime.seeds import derived_seed
from mergecast.typing import Array

if TYPE_CHECKING:
    from torch import Tensor

Transform = Callable[[Array, np.random.Generator], Array]

# What each digit becomes; index = digit. Loops: closed counters as scikit-learn's writers drew
# them (4 open, 0 6 9 one, 8 two).
_DIGIT = tuple(range(10))
_PARITY = tuple(d % 2 for d in range(10))
_AT_LEAST_FIVE = tuple(int(d >= 5) for d in range(10))
_PRIME = tuple(int(d in (2, 3, 5, 7)) for d in range(10))
_MOD_THREE = tuple(d % 3 for d in range(10))
_LOOPS = (1, 0, 0, 0, 0, 0, 1, 0, 2, 1)


def _same(images: Array, _rng: np.random.Generator) -> Array:
    return images


def _rotate(turns: int) -> Transform:
    return lambda images, _rng: np.rot90(images, turns, axes=(1, 2))


def _permute(images: Array, rng: np.random.Generator) -> Array:
    order = rng.permutation(images[0].size)
    return images.reshape(len(images), -1)[:, order].reshape(images.shape)


def _noise(images: Array, rng: np.random.Generator) -> Array:
    return np.clip(images + rng.normal(0.0, 0.25, images.shape), 0.0, 1.0)


def _left_half(images: Array, _rng: np.random.Generator) -> Array:
    return np.where(np.arange(images.shape[2]) < images.shape[2] // 2, images, 0.0)


_TASKS: Mapping[str, tuple[Transform, tuple[int, ...]]] = {
    "upright": (_same, _DIGIT),
    "rotated-90": (_rotate(1), _DIGIT),
    "rotated-180": (_rotate(2), _DIGIT),
    "mirrored": (lambda images, _rng: images[:, :, ::-1], _DIGIT),
    "inverted": (lambda images, _rng: 1.0 - images, _DIGIT),
    "permuted": (_permute, _DIGIT),
    "noisy": (_noise, _DIGIT),
    "left-half": (_left_half, _DIGIT),
    "threshold": (lambda images, _rng: (images > 0.5).astype(images.dtype), _DIGIT),
    "parity": (_same, _PARITY),
    "at-least-five": (_same, _AT_LEAST_FIVE),
    "prime": (_same, _PRIME),
    "modulo-3": (_same, _MOD_THREE),
    "loops": (_same, _LOOPS),
}
TASKS: tuple[str, ...] = tuple(_TASKS)


@dataclass(frozen=True)
class LabelledImages:
    """Images (n, 8, 8) float32 in [0, 1] and class indices (n,) int64."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class TaskData:
    """One task: three disjoint splits, the same images in the same order for every task."""

    train: LabelledImages
    calibration: LabelledImages
    test: LabelledImages
    n_classes: int


@lru_cache(maxsize=1)
def _unique_digits() -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    _, first = np.unique(digits.data, axis=0, return_index=True)
    keep = np.sort(first)
    return digits.images[keep].astype(np.float64) / 16.0, digits.target[keep]


@lru_cache(maxsize=32)
def task_data(task: str, n_test: int, n_calibration: int, split_seed: int) -> TaskData:
    """The three splits of `task`; exact duplicates are dropped before splitting.

    Parameters
    ----------
    task : str
        One of `TASKS`.
    n_test, n_calibration : int
        Images of these splits; the rest is for training.
    split_seed : int
        Of the order in which images are dealt out.

    Raises
    ------
    UsageError
        An unknown task, or sizes that leave no training images.
    """
    if task not in _TASKS:
        raise UsageError.unknown("task", task, TASKS)
    transform, classes = _TASKS[task]
    images, digits = _unique_digits()
    if n_test + n_calibration >= len(images):
        raise UsageError(
            "digits-14",
            f"n_test={n_test} and n_calibration={n_calibration} leave no training images",
            f"there are {len(images)} in all",
        )
    images = transform(images, np.random.default_rng(derived_seed(split_seed, "transform", task)))
    order = np.random.default_rng(derived_seed(split_seed, "split")).permutation(len(images))
    labels = np.asarray(classes)[digits]
    test, calibration, train = np.split(order, [n_test, n_test + n_calibration])

    import torch

    def part(index: Array) -> LabelledImages:
        return LabelledImages(
            torch.from_numpy(images[index].astype(np.float32)), torch.from_numpy(labels[index])
        )

    return TaskData(part(train), part(calibration), part(test), len(set(classes)))
