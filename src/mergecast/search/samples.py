"""Which samples a search may look at, and which it must not touch until it has chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence.session import Session
from mergecast.evidence.settings import CALIBRATION
from mergecast.runtime.stage import Stage
from mergecast.search.scores import own_answers
from mergecast.tasks.apart import kept, ordered, shared
from mergecast.tasks.task import Samples, Task

#: Samples of a task that a search looks at, and that it verifies on, at most.
MOST_LOOKED, MOST_HELD = 1000, 2000
#: The part of a task's only samples that is held back where it has no test samples.
_HELD = 1 / 3
#: Fewer samples than this say nothing.
LEAST = 20
#: Samples of a task, those held back among them, that are compared before anything else is done.
_AT_ONCE = 500

ANSWERED = Stage("own answers", 1, modules=("mergecast.search.scores",))

#: What to do about a task whose samples and test samples are the same.
HOLD_BACK = (
    "name a file of other samples in `test:`, or leave `test:` out: a third of the samples is then "
    "held back"
)


@dataclass(frozen=True)
class Parts:
    """Samples of one task.

    Attributes
    ----------
    looked : Samples
        What the search may measure on, in the order in which it does: those that forecasts were
        made from last.
    held : Samples
        What its choice is verified on; no sample is in both.
    from_test : bool
        Whether `held` are the task's test samples; else they are a part of its only ones.
    labelled : bool
        Whether both are scored by their labels; else by whether the model's own answer is kept.
    shared : int
        Samples that were not held back, though they were drawn: the search may look at the same
        ones, by content.
    """

    looked: Samples
    held: Samples
    from_test: bool
    labelled: bool
    shared: int = 0

    @property
    def doubt(self) -> str:
        """That some samples were on both sides; empty where none were."""
        if not self.shared:
            return ""
        drawn = self.shared + len(self.held)
        kind = "test samples" if self.from_test else "samples that were held back"
        twice = "is" if self.shared == 1 else "are"
        return (
            f"{self.shared} of {drawn} {kind} {twice} also among those that the search may look "
            f"at, with the same content: left out, so that {len(self.held)} verify"
        )


def sizes_of(label: str, task: Task) -> tuple[int, int, bool]:
    """How many samples are looked at and held back, and whether the latter are test samples.

    Raises UsageError where they are too few.
    """
    try:
        n_test = task.size("test")
    except UsageError as error:
        if not error.thing.endswith("split 'test'"):
            raise
        n_test = 0
    available = task.size("calibration")
    looked = available if n_test else available - round(available * _HELD)
    held = n_test or available - looked
    if min(looked, held) < LEAST:
        raise UsageError(
            f"task {label!r}",
            f"has {available} samples and {n_test} test samples, too few to choose and to verify",
            f"give it `test:` with {LEAST} samples or more, or {3 * LEAST} samples in all",
        )
    return looked, held, n_test > 0


def evidence_samples(
    tasks: Mapping[str, Task], asked: int | None
) -> int | Mapping[str, int] | None:
    """Samples that forecasts are made from, none of which is held back: of every task, or by label
    where that differs; None for as many as is usual.

    Raises UsageError where more are asked for than may be looked at.
    """
    found = {label: sizes_of(label, task) for label, task in sorted(tasks.items())}
    most = {label: looked for label, (looked, _, from_test) in found.items() if not from_test}
    for label, looked in most.items():
        if asked is not None and asked > looked:
            raise UsageError(
                "calibration",
                f"is {asked}, and of {label!r}, without test samples, {looked} may be looked at",
                f"give {min(most.values())} or fewer, or give the tasks `test:`",
            )
    return asked or {label: min(looked, CALIBRATION) for label, looked in most.items()} or None


def check_apart(session: Session) -> None:
    """Raise UsageError, before hours are spent, where too few samples are untouched.

    Only of tasks with few samples: reading many takes long, and hardly leaves too few.
    """
    for label in sorted(session.family.names):
        looked, held, _ = sizes_of(label, session.task(label))
        if looked + held <= _AT_ONCE:
            _drawn(session, label, None)


def parts_of(session: Session, label: str, most: int | None = None, *, hold: bool = True) -> Parts:
    """The samples of a model's task, apart; of each part `most` at most, where it is given.

    Where none are to be held back, all of a task's calibration samples may be looked at.

    Raises
    ------
    UsageError
        The task has too few samples to hold some back, or too few that are not looked at.
    UndefinedError
        The task's score is not defined.
    """
    task = session.task(label)
    if task.outputs == "values":
        raise UndefinedError(
            f"task {label!r}",
            f"a {task.kind_name} has no classes, and what is kept is a share of a score",
            "leave its model out, or give a scorer",
        )
    if hold:
        first, last, from_test, twice = _drawn(session, label, most)
    else:
        count = task.size("calibration")
        whole = task.samples(count, session.settings.seed)
        first, last = part(whole, 0, min(count, most or MOST_LOOKED)), part(whole, 0, 0)
        from_test, twice = False, 0
    classes = task.outputs == "classes"
    labelled = classes and first.labels is not None and last.labels is not None
    if classes and not labelled:
        first, last = (_answered(session, label, some) for some in (first, last))
    return Parts(first, last, from_test, labelled, twice)


def _answered(session: Session, label: str, samples: Samples) -> Samples:
    """The samples with the model's own answers as their labels, which are stored."""
    if not len(samples):
        return samples

    def compute() -> dict[str, list[Any]]:
        found = own_answers(session.load(label), samples, session.settings.batch_size)
        return {"answers": [] if found.labels is None else found.labels.tolist()}

    found = session.unit(session.spec(ANSWERED, label, samples), compute)
    return Samples(samples.inputs, torch.tensor(found["answers"]), samples.ids)


def _drawn(session: Session, label: str, most: int | None) -> tuple[Samples, Samples, bool, int]:
    """What may be looked at, what is held back, whether that is from test, and how many were both.

    Raises UsageError where too few are held back alone.
    """
    task, seed = session.task(label), session.settings.seed
    looked, held, from_test = sizes_of(label, task)
    whole = task.samples(looked if from_test else looked + held, seed)
    # What a forecast says of the samples that it was made from is no news, so they come last.
    known = min(len(session.samples(label)), looked)
    order = np.roll(np.arange(looked), -known)[: most or MOST_LOOKED]
    first = ordered(whole, order)
    if from_test:
        last = task.samples(min(held, most or MOST_HELD), seed, "test")
    else:
        last = part(whole, looked, looked + min(held, most or MOST_HELD))
    # Forecasts may have read more samples than merges are measured on.
    twice = shared([first, session.samples(label)], last)
    count = int(twice.sum())
    if not count:
        return first, last, from_test, 0
    left = len(last) - count
    if left < LEAST:
        where = "test samples" if from_test else "samples held back"
        other = "other samples to `test:`" if from_test else "it `test:` with other samples"
        raise UsageError(
            f"task {label!r}",
            f"{count} of {len(last)} {where} are also, with the same content, among those that "
            f"the search may look at: {left} are left to verify on, {LEAST} are needed",
            f"give {other}",
        )
    return first, kept(last, ~twice), from_test, count


def part(samples: Samples, first: int, last: int) -> Samples:
    """Consecutive ones of some samples."""
    inputs: Mapping[str, torch.Tensor] = {k: v[first:last] for k, v in samples.inputs.items()}
    labels = None if samples.labels is None else samples.labels[first:last]
    return Samples(inputs, labels, samples.ids[first:last])
