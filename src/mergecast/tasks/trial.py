"""A task tried on a few samples: whether its file, columns, labels and model go together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter

import torch
from torch import Tensor

from mergecast.checkpoints.patterns import matches
from mergecast.errors import MergecastError
from mergecast.tasks.apart import one_source, shared
from mergecast.tasks.columns import Columns, as_tensor
from mergecast.tasks.file_task import FileTask
from mergecast.tasks.probe import Probe
from mergecast.tasks.renumbered import RenumberedTask
from mergecast.tasks.spec import DataSpec
from mergecast.tasks.task import BATCH_SIZE, Samples, Split, Task
from mergecast.tasks.trial_scores import tried_scores
from mergecast.typing import Array


@dataclass
class Trial:
    """What some samples of a task showed; what was not reached stays None.

    Attributes
    ----------
    label : str
        Of the model.
    kind : str or None
        What the task was read as.
    sizes : dict of str to int
        Samples by split.
    tried : int or None
        Samples that were read.
    classes : int or None
        Outputs that the model chooses among, where its labels are classes.
    labels : dict of int to int
        Class to its number of samples.
    score, test_score : float or None
        The model's mean score, and on its test samples; None without labels or the model.
    base_score, commonest : float or None
        Of the base with the model's head, and of the commonest class for every sample.
    empty, cut : int or None
        Texts without a word, and texts longer than ``max_length`` tokens.
    seconds : float or None
        Of the forward pass of one batch, a sample.
    problem : str
        Why the task cannot be used; empty where it can.
    warnings : list of str
        What to look at.
    """

    label: str
    kind: str | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    tried: int | None = None
    classes: int | None = None
    labels: dict[int, int] = field(default_factory=dict)
    score: float | None = None
    test_score: float | None = None
    base_score: float | None = None
    commonest: float | None = None
    empty: int | None = None
    cut: int | None = None
    seconds: float | None = None
    problem: str = ""
    warnings: list[str] = field(default_factory=list)


def try_task(
    task: Task,
    state: Mapping[str, Tensor] | None = None,
    base: Mapping[str, Tensor] | None = None,
    *,
    count: int,
    spare: Collection[str] = (),
    seed: int = 0,
    device: str = "cpu",
    batch_size: int = BATCH_SIZE,
) -> Trial:
    """Read samples of each split, run the model on them, and say what does not go together.

    Parameters
    ----------
    task : Task
        To be tried.
    state : mapping of str to Tensor, optional
        The model's tensors; without them the architecture runs one batch with random values.
    base : mapping of str to Tensor, optional
        The base's, with the model's head.
    count : int
        Samples of each split, or as many as it has.
    spare : collection of str
        Tensors that need no place in the model; see `Probe`.
    seed : int
        Of the choice of samples.
    device : str
        Where the model runs.
    batch_size : int
        Samples run at once.
    """
    trial = Trial(task.name)
    try:
        batches = _read(trial, task, count, seed)
        probe = Probe(task, device, spare=spare)
        probe.load(_random_state(task, seed) if state is None else state)
        _run(trial, probe, batches, batch_size, with_model=state is not None)
        if state is not None:
            found = tried_scores(probe, base, batches, batch_size)
            trial.score, trial.test_score = found.score, found.test
            trial.base_score, trial.commonest = found.base, found.commonest
            trial.warnings += found.warnings
    except MergecastError as error:
        trial.problem = str(error)
    return trial


def _read(trial: Trial, task: Task, count: int, seed: int) -> dict[Split, Samples]:
    """Samples of each split, in the order in which a forecast takes them."""
    trial.kind = task.kind_name
    given = _as_given(task)
    splits: tuple[Split, ...] = given.splits if isinstance(given, FileTask) else ("calibration",)
    read: dict[Split, Samples] = {}
    for split in splits:
        trial.sizes[split] = task.size(split)
        read[split] = task.samples(min(count, trial.sizes[split]), seed, split)
    trial.tried = len(read["calibration"])
    if isinstance(given, FileTask):
        _count_texts(trial, given, read["calibration"])
    if source := one_source(given):
        trial.warnings.append(
            f"its `data:` and `test:` are the same: {source}; search refuses that"
        )
    elif "test" in read and (twice := int(shared([read["calibration"]], read["test"]).sum())):
        trial.warnings.append(
            f"{twice} of {len(read['test'])} test samples tried are also, with the same content, "
            f"among the {trial.tried} of `data:`"
        )
    if "test" in read and read["test"].labels is None:
        trial.warnings.append("its test samples have no labels, so that no merge is scored")
    return read


def _as_given(task: Task) -> Task:
    """The task itself, of one that is run with its family's numbers of tokens."""
    return task.inner if isinstance(task, RenumberedTask) else task


def _run(
    trial: Trial,
    probe: Probe,
    read: Mapping[Split, Samples],
    batch_size: int,
    *,
    with_model: bool,
) -> None:
    """One batch of each split through the model, and all labels held against its head."""
    task = probe.task
    # A private head has the model's size, whatever the config that builds the architecture says.
    sized = with_model or not any(matches(name, task.private) for name in probe.state)
    for samples in read.values():
        batch = next(samples.batches(batch_size))
        start = perf_counter()
        with torch.no_grad():
            logits = probe.forward(batch)
        trial.seconds = trial.seconds or (perf_counter() - start) / len(batch)
        if batch.labels is not None and sized:
            task.check_labels(logits, batch.labels)
    if task.outputs == "classes" and task.kind_name != "next_token" and sized:
        trial.classes = logits.shape[-1]
    if isinstance(given := _as_given(task), FileTask):
        trial.warnings += _label_findings(trial, given, read)
    labels = read["calibration"].labels
    if labels is not None:
        _count_labels(trial, labels)


def _count_labels(trial: Trial, labels: Tensor) -> None:
    """How often each class is among the labels, where there is one a sample."""
    if trial.classes is None or labels.dim() != 1:
        return
    trial.labels = dict(sorted(Counter(labels.tolist()).items()))
    if len(trial.labels) == 1 and len(labels) > 1:
        trial.warnings.append(
            f"all {len(labels)} samples have the label {next(iter(trial.labels))}"
        )


def _count_texts(trial: Trial, task: FileTask, samples: Samples) -> None:
    """Texts that say nothing, and texts that are cut."""
    data = task.section("calibration")
    if data.file is None or data.text is None or data.choices is not None:
        return
    columns = task.columns(data)
    names, encoder = data.columns_of_text, task.encoder(data)
    first, *second = (columns.read(name, _rows(samples)) for name in names)
    beyond = "what is beyond is cut"
    if data.completion is not None:
        answers = columns.read(data.completion, _rows(samples))
        lengths = encoder.completion_lengths(names[0], first, data.completion, answers)
        beyond = "their prompts lose their beginning, long answers their end"
    else:
        lengths = encoder.lengths(names[0], first, *second)
    trial.cut = sum(length > data.max_length for length in lengths)
    trial.empty = sum(not any(map(_says, row)) for row in zip(first, *second, strict=True))
    # Who says how many are kept knows why, as where models were trained on as many.
    if trial.cut * 2 > len(lengths) and "max_length" not in data.model_fields_set:
        trial.warnings.append(
            f"{trial.cut} of {len(lengths)} texts have more than {data.max_length} tokens, the "
            f"longest {max(lengths)}: {beyond}; set data.max_length to what the "
            "models were trained with"
        )
    if trial.empty:
        trial.warnings.append(f"{trial.empty} of {len(lengths)} texts are empty")


def _says(text: object) -> bool:
    return bool(text.strip()) if isinstance(text, str) else bool(text)


def _rows(samples: Samples) -> Array:
    """Rows of the file that samples were read from, as their names tell."""
    return torch.tensor([int(name.rpartition("/")[2]) for name in samples.ids]).numpy()


def _label_findings(trial: Trial, task: FileTask, splits: Iterable[Split]) -> Iterator[str]:
    """Labels of all rows outside the head, and classes that are called otherwise; may raise."""
    for split in splits:
        data = task.section(split)
        if data.file is None or data.labels is None or trial.classes is None:
            continue
        columns = task.columns(data)
        if task.kind_name == "classification":
            _check_all(task, columns, data, trial.classes)
        given = columns.class_names(data.labels)
        if given and task.class_names:
            yield from _compare_names(task, split, given, task.class_names)


def _check_all(task: FileTask, columns: Columns, data: DataSpec, classes: int) -> None:
    """Raise UsageError where a label of any row is outside the head."""
    rows = torch.arange(columns.rows).numpy()
    labels, _ = as_tensor(str(data.labels), task.labels(data, columns, rows))
    task.check_labels(torch.empty(len(labels), classes, device="meta"), labels.long())


def _compare_names(
    task: FileTask, split: str, given: tuple[str, ...], model: tuple[str, ...]
) -> Iterator[str]:
    """A warning for classes of the data that the model calls otherwise."""
    pairs = [(i, a, b) for i, (a, b) in enumerate(zip(given, model, strict=False)) if a != b]
    if pairs:
        number, ours, theirs = pairs[0]
        order = " in another order" if sorted(given) == sorted(model) else ""
        yield (
            f"its {split} samples call class {number} {ours!r}, the model {theirs!r}: "
            f"{len(pairs)} classes differ{order}; number the labels as the model of "
            f"{task.name!r} does"
        )


def _random_state(task: Task, seed: int) -> dict[str, Tensor]:
    """Random values for every tensor of a task's architecture, and its own head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = task.build()
    return {**{name: value.detach() for name, value in module.state_dict().items()}, **task.head()}
