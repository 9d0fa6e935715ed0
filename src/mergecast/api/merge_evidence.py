"""What merging methods need to know of the models' tasks, gathered from a few samples of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mergecast.api.inputs import Tasks, open_family, open_tasks
from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import UsageError
from mergecast.evidence.gradients.fisher import per_sample_gradients
from mergecast.evidence.inputs.moments import layer_moments
from mergecast.evidence.session import Session
from mergecast.evidence.settings import ProbeSettings
from mergecast.family.family import Family
from mergecast.family.models import Models
from mergecast.merging.evidence import TRANSPOSED
from mergecast.merging.method import METHODS
from mergecast.runtime.outputs import check_folder
from mergecast.runtime.progress import Progress, Silent
from mergecast.typing import Names


def merge_evidence(
    family: Family | str | Path,
    models: Models | None = None,
    *,
    tasks: Tasks,
    method: str,
    out: str | Path,
    calibration: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    private: Names = (),
    strict: bool = True,
    vocabulary: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Gather what a merging method needs to know of the models' tasks.

    ``regmean`` takes the second moments of every layer's inputs, from forward passes; ``fisher``
    the mean square of the loss's gradient, from labelled samples one at a time.

    Parameters
    ----------
    family : Family, str or Path
        A family, or the path of its base.
    models : str, Path, sequence of them or mapping, optional
        The fine-tuned models beside a base's path; or label to path.
    tasks : str, Path or mapping
        A file of tasks, a suite's run folder, or label to `Task`.
    method : str
        The merging method that will read it.
    out : str or Path
        Folder of the files, one a model, named by number and label.
    calibration : int, optional
        Samples of every task; by default 100, or all that a task has if it has fewer.
    seed : int
        Of the choice of samples.
    device : str
        Where models run.
    private : str or sequence of str
        Glob patterns of parameters that belong to tasks.
    strict : bool
        Refuse models that differ from the base outside task heads.
    vocabulary : {"base", "union"}, optional
        Match rows of embeddings by token where models added some; see `Family.open`.
    progress : Progress, optional
        Told of every model.

    Returns
    -------
    dict of str to Path
        Label to file: `merge` and `write_merge` take it as ``evidence``.

    Raises
    ------
    UsageError
        The method needs none, or a model has no task.
    UndefinedError
        An output or a loss is not finite, or a task has no labels.
    """
    kind = METHODS.get(method).evidence
    if kind is None:
        able = [one.name for one in METHODS if one.evidence]
        raise UsageError(f"method {method!r}", "needs no evidence", f"only {', '.join(able)} do")
    folder = Path(out)
    check_folder(folder)
    by_label = open_tasks(tasks, "gradients")
    opened = open_family(
        family, models, private=private, strict=strict, vocabulary=vocabulary, tasks=by_label
    )
    folder.mkdir(parents=True, exist_ok=True)
    settings = ProbeSettings(calibration, seed, device)
    advance = (progress or Silent()).stage(f"evidence for {method}", opened.size)
    files: dict[str, Path] = {}
    with Session(opened, by_label, settings) as session:
        for number, label in enumerate(opened.names):
            found = _moments(session, label) if kind == "inputs" else _fisher(session, label)
            plain = "".join(c if c.isalnum() else "_" for c in label)
            files[label] = folder / f"{number:03}-{plain}.safetensors"
            write_safetensors(files[label], found)
            advance(1)
    return files


def _moments(session: Session, label: str) -> dict[str, Any]:
    """Mean of x xᵀ over samples and positions, by the name of the layer's weight."""
    probe, state = session.probe(label), session.state(label)
    shared, samples = session.family.shared, session.merge_samples(label)
    layers = layer_moments(probe, state, samples, shared, draws=0)
    return {
        f"{name}{TRANSPOSED if one.transposed else ''}": (
            one.input_rows.matrix() / one.input_rows.rows
        ).cpu()
        for name, one in layers.items()
    }


def _fisher(session: Session, label: str) -> dict[str, Any]:
    """Mean over samples of the squared gradient of the loss, by parameter."""
    probe, state = session.probe(label), session.state(label)
    samples = session.merge_samples(label)
    total: dict[str, Any] = {}
    for gradients in per_sample_gradients(probe, state, samples, session.family.shared):
        for name, gradient in gradients.items():
            square = session.family.base_rows(name, gradient).square() / len(samples)
            total[name] = square if name not in total else total[name].add_(square)
    return {name: value.cpu() for name, value in total.items()}
