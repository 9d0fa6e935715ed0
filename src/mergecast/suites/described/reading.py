"""Reading a file that describes a suite; what is wrong is named before anything is tuned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mergecast.checkpoints.hub import located
from mergecast.checkpoints.side_files import side_files
from mergecast.errors import UndefinedError, UsageError
from mergecast.runtime.store import canonical_json, file_digest, text_digest
from mergecast.suites.described.recipe import BASE, TUNING, DescribedRecipe
from mergecast.suites.described.spec import DescribedFile, DescribedTask
from mergecast.suites.described.task import DescribedFileTask
from mergecast.tasks.apart import refuse_one_source
from mergecast.tasks.load import read_form
from mergecast.tasks.models import source_digest
from mergecast.tasks.spec import DataSpec


def read_described(path: str | Path, settings: Mapping[str, object]) -> DescribedRecipe:
    """The suite that a file describes.

    Parameters
    ----------
    path : str or Path
        The YAML file; paths in it are relative to it.
    settings : mapping of str to object
        Of its training, instead of what the file says.

    Raises
    ------
    UsageError
        It cannot be read, or is wrong: by line and field.
    CheckpointError
        What it names of the hub cannot be had.
    """
    form = read_form(path, DescribedFile, "a suite")
    for name in (*form.training, *settings):
        if name not in TUNING:
            raise UsageError.unknown("setting of training", name, sorted(TUNING))
    folder = Path(path).parent.resolve()
    for label, spec in form.tasks.items():
        if "+" in label or "," in label:
            raise UsageError(f"task {label!r}", "holds '+' or ','", "call it otherwise")
        for what, named in (("base", form.base), ("checkpoint", spec.checkpoint)):
            if named is not None and not located(folder, named).exists():
                about = "base" if what == "base" else f"task {label!r}: checkpoint"
                raise UsageError(about, f"{named} does not exist", "name a model that does")
    return DescribedRecipe.of(
        {
            **form.training,
            **settings,
            "name": form.name or Path(path).stem,
            "folder": folder,
            "base": form.base,
            "freeze": form.freeze,
            "tasks": form.tasks,
            "contents": {
                BASE: _digest(located(folder, form.base)),
                **{label: _contents(folder, spec) for label, spec in form.tasks.items()},
            },
        }
    )


def check_described(recipe: DescribedRecipe) -> None:
    """Raise an error for samples that a run would fail on: files, columns, labels, splits.

    UsageError where something is missing or wrong, UndefinedError for a task without a score.
    """
    tasks = {
        label: DescribedFileTask(label, spec, recipe.folder) for label, spec in recipe.tasks.items()
    }
    for label, task in tasks.items():
        about = f"task {label!r}"
        if task.outputs != "classes":
            raise UndefinedError(
                about, f"a {task.kind_name} has no classes, and no score to keep", "leave it out"
            )
        for split in task.splits:
            data = task.section(split)
            first = task.samples(1, 0, split)
            if first.labels is None and split != "calibration":
                raise UsageError(about, f"its {split} samples have no labels", "labels: COLUMN")
            if data.file is None or data.labels is None:
                continue
            try:
                columns = task.columns(data)
                numbers = task.labels(data, columns, np.arange(columns.rows))
            except UsageError as error:
                raise error.about(about) from error
            classes = task.spec.n_classes
            if task.kind_name != "classification" or not classes:
                continue  # labels of tokens, or a head that only the model tells
            outside = [x for x in np.unique(numbers).tolist() if not 0 <= x < classes]
            if outside:
                raise UsageError(
                    about,
                    f"its {split} samples have label {outside[0]:g}, of classes from 0 to "
                    f"{classes - 1}",
                    "number labels from 0, or give more classes",
                )
    refuse_one_source(tasks, "give other samples as `test:`, on which merges are scored")


def _contents(folder: Path, spec: DescribedTask) -> str:
    """Digest of all that a task's models and scores hang on outside the file itself."""
    places: list[Path] = [] if spec.checkpoint is None else [located(folder, spec.checkpoint)]
    aside: list[Path] = [] if spec.model.folder is None else [located(folder, spec.model.folder)]
    called = [] if spec.model.build is None else [source_digest(spec.model.build)]
    for data in filter(None, (spec.train, spec.data, spec.test)):
        aside += [located(folder, x) for x in (data.tokenizer, data.processor) if x is not None]
        if data.file is not None:
            places.append(_there(folder, data))
        if data.call is not None:
            called.append(source_digest(data.call))
    if spec.head is not None:
        places.append(located(folder, spec.head.weights))
    beside = [x for place in aside for x in side_files(place) if x.name != "README.md"]
    digests = [[_digest(place) for place in places], [*map(file_digest, beside)], called]
    return text_digest(canonical_json(digests))


def _there(folder: Path, data: DataSpec) -> Path:
    """A file of samples; raises UsageError where there is none."""
    place = located(folder, Path(str(data.file)))
    if not place.exists():
        raise UsageError(place, "does not exist", "name a file of samples")
    return place


def _digest(place: Path) -> str:
    """Of a file, or of all files of a folder and their names."""
    if place.is_file():
        return file_digest(place)
    inside = sorted(file for file in place.rglob("*") if file.is_file())
    return text_digest(
        canonical_json([[str(file.relative_to(place)), file_digest(file)] for file in inside])
    )
