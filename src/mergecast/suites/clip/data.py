"""Images and classes of a task, from a data set of the hub or a folder, read when they are used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mergecast.errors import ResourceError, UsageError
from mergecast.runtime.seeds import derived_seed
from mergecast.suites.clip.recipe import ClipRecipe
from mergecast.suites.clip.sources import SOURCES
from mergecast.suites.encoders.libraries import library
from mergecast.tasks.pixels import PixelEncoder
from mergecast.tasks.task import Split
from mergecast.typing import Array


class ImageData:
    """One split of a task.

    Parameters
    ----------
    recipe : ClipRecipe
        Where it comes from, and how much of it is used.
    task : str
        Its name.
    split : str
        ``train``, ``calibration`` (a part of the training split) or ``test``.

    Raises
    ------
    UsageError
        The package datasets is not installed, or there is no such split.
    ResourceError
        The data set cannot be had.
    """

    def __init__(self, recipe: ClipRecipe, task: str, split: Split) -> None:
        splits = ("train", "calibration", "test")
        if split not in splits:
            raise UsageError.unknown("split", split, splits)
        source = SOURCES[task]
        self._source, self._task = source, task
        whole = _loaded(recipe, task, source.test if split == "test" else source.train)
        self._place = Path(recipe.data) / task if recipe.data else Path(source.hub)
        self._set = whole.with_format("arrow")
        self.rows: Array = _rows(recipe, task, split, whole.num_rows)
        names = source.classes or _names(whole, source.label)
        if not names:
            raise UsageError(
                f"task {task!r}", "its data set does not name its classes", "cast label to names"
            )
        self.classes = tuple(names)
        labels = self._column(source.label, self.rows)
        self.labels = torch.tensor([int(label) for label in labels])

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, encoder: PixelEncoder, places: Sequence[int]) -> Tensor:
        """Some images, (n, 3, height, width), by their places in this split."""
        rows = self.rows[list(places)]
        values = self._column(self._source.image, rows)
        return encoder.pixels(self._place / "image", values, rows.tolist())

    def _column(self, name: str, rows: Array) -> list[Any]:
        if name not in self._set.column_names:
            raise UsageError.unknown("column", name, self._set.column_names).about(
                f"task {self._task!r}"
            )
        # That column alone: beside a label stands an image.
        part = self._set.select_columns(name).select(rows)
        values: list[Any] = part[:].column(name).to_pylist()
        return values


def _loaded(recipe: ClipRecipe, task: str, split: str) -> Any:
    datasets, source = library("datasets"), SOURCES[task]
    if recipe.data:
        folder = Path(recipe.data) / task
        if not folder.is_dir():
            raise ResourceError(
                f"task {task!r}", f"{folder} is no folder", "save its data set there (save_to_disk)"
            )
        try:
            saved = datasets.load_from_disk(str(folder))
        except FileNotFoundError as error:
            raise ResourceError(
                f"task {task!r}", f"{folder} is no saved data set", "write it by save_to_disk"
            ) from error
        if split not in saved:
            raise UsageError.unknown("split", split, list(saved)).about(f"task {task!r}")
        return saved[split]
    try:
        return datasets.load_dataset(source.hub, source.config, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetNotFoundError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ResourceError(
            f"data set {source.hub}",
            f"cannot be had: {first}",
            "fetch it where there is a network, or give a folder by --suite-param data=DIR",
        ) from error


def _rows(recipe: ClipRecipe, task: str, split: Split, count: int) -> Array:
    """Which rows of the data set's own split are used; drawn, since files may be sorted by class.

    Calibration samples are the first that are drawn of those for training.
    """
    own = "test" if split == "test" else "train"
    drawn = np.random.default_rng(derived_seed(0, task, own)).permutation(count)
    if split == "test":
        return drawn[: recipe.n_test]
    held, rest = np.split(drawn, [recipe.n_calibration])
    return held if split == "calibration" else rest[: recipe.n_train]


def _names(whole: Any, column: str) -> Sequence[str]:
    """What a data set calls its classes, as words."""
    names = getattr(whole.features.get(column), "names", None) or ()
    return [str(name).replace("_", " ") for name in names]
