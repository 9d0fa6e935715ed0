"""A tiny classifier, its tasks and a family on disk, for tests of everything that runs models."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

import yaml

from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.testing.tiny import tiny_family, tiny_tasks


def tiny_session(
    folder: Path,
    labels: str = "abc",
    *,
    order: str = "",
    merges: MergeSettings | None = None,
    **task: bool,
) -> Session:
    """The tiny family with its tasks; units are kept, but not shared between calls."""
    batchnorm = task.get("batchnorm", False)
    family = tiny_family(folder, labels, order=order, batchnorm=batchnorm)
    settings = ProbeSettings(calibration=10, seed=0, cache=Path(mkdtemp(dir=folder)))
    return Session(family, tiny_tasks(labels, **task), settings, merges or MergeSettings())


def of_one_kind(labels):
    """Labels to one kind, as `mergecast.evidence.superposition.kinds` calls it."""
    return dict.fromkeys(labels, min(labels))


def inputs_of(moments):
    """(in, in): mean over samples and positions of x xᵀ."""
    return moments.input_rows.matrix().double() / moments.input_rows.rows


def curvature_of(moments):
    """(out, out): Gauss-Newton matrix of the loss in the layer's outputs."""
    return moments.output_rows.matrix().double() / moments.draws


def labelled(label: str, split: str, count: int):
    """A source of samples for files of tasks: those of the tiny task."""
    samples = tiny_tasks(label)[label].samples(count, 0, split)
    return dict(samples.inputs), samples.labels


def write_tiny_tasks(folder: Path, labels: str, count: int = 40) -> Path:
    """A file of tasks of the tiny family, with test samples."""
    tasks = {
        label: {
            part: {"call": "tiny_models:labelled", "args": {**args, "label": label, "count": count}}
            for part, args in (("data", {"split": "calibration"}), ("test", {"split": "test"}))
        }
        for label in labels
    }
    defaults = {"model": {"build": "mergecast.testing.tiny:Net"}, "private": ["head.*"]}
    path = folder / "tasks.yaml"
    path.write_text(yaml.safe_dump({"defaults": defaults, "tasks": tasks}), encoding="utf-8")
    return path
