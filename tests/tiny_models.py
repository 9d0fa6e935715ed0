"""A tiny classifier, its tasks and a family on disk, for tests of everything that runs models."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

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


def inputs_of(moments):
    """(in, in): mean over samples and positions of x xᵀ."""
    return moments.input_rows.matrix().double() / moments.input_rows.rows


def curvature_of(moments):
    """(out, out): Gauss-Newton matrix of the loss in the layer's outputs."""
    return moments.output_rows.matrix().double() / moments.draws
