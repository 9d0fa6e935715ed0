"""Whether samples that are to be told apart are: the same file twice, the same samples in two."""

from __future__ import annotations

import filecmp
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mergecast.errors import UsageError
from mergecast.tasks.file_task import FileTask
from mergecast.tasks.renumbered import RenumberedTask
from mergecast.tasks.scores import IGNORED
from mergecast.tasks.task import Samples, Task


def refuse_one_source(tasks: Mapping[str, Task], remedy: str) -> None:
    """Raise UsageError for a task whose ``data`` and ``test`` are the same samples.

    Parameters
    ----------
    tasks : mapping of str to Task
        Label of a model to its task.
    remedy : str
        What to do about it.
    """
    for label, task in tasks.items():
        if source := one_source(task):
            raise UsageError(
                f"task {label!r}",
                f"its `data:` and `test:` are the same: {source}",
                remedy,
            )


def one_source(task: Task) -> str:
    """What a task's ``data`` and ``test`` both read, where that is the same; empty where not.

    The same split of one file or of a copy of it, with the same columns; one function with the same
    arguments. Other columns of one file may be other samples: `shared` compares these.
    """
    if isinstance(task, RenumberedTask):
        task = task.inner
    if not isinstance(task, FileTask) or task.spec.test is None:
        return ""
    data, test = task.spec.data, task.spec.test
    if data.call is not None or test.call is not None:
        same = data.call == test.call and data.args == test.args
        return str(data.call) if same else ""
    columns = [(one.split, one.inputs, one.columns_of_text, one.choices) for one in (data, test)]
    if columns[0] != columns[1]:
        return ""
    one, two = task.path(data.file), task.path(test.file)
    if not (one.exists() and two.exists()):
        return ""  # whoever reads them says so
    if one.samefile(two):
        return str(one)
    return f"{two} is a copy of {one}" if _copies(one, two) else ""


def _copies(one: Path, two: Path) -> bool:
    """Whether two files hold the same bytes; folders are never compared."""
    return one.is_file() and two.is_file() and filecmp.cmp(one, two, shallow=False)


def shared(seen: Sequence[Samples], others: Samples) -> npt.NDArray[np.bool_]:
    """Which of some samples are among others that were seen, by content, (n,) bool.

    Two samples are the same where the model is given the same, padding apart, and both have the
    same label; labels are not compared where one side has none.

    Parameters
    ----------
    seen : sequence of Samples
        What may have been looked at.
    others : Samples
        The n samples asked about.
    """
    every = [*seen, others]
    labelled = all(one.labels is not None for one in every)
    names = sorted(set.intersection(*(set(one.inputs) for one in every)))
    known = {digest for one in seen for digest in _digests(one, names, labelled=labelled)}
    found = [digest in known for digest in _digests(others, names, labelled=labelled)]
    return np.array(found, dtype=bool)


def kept(samples: Samples, rows: npt.NDArray[np.bool_]) -> Samples:
    """The rows of n samples that `rows`, (n,) of bool, says."""
    return ordered(samples, np.flatnonzero(rows))


def ordered(samples: Samples, rows: npt.NDArray[np.intp]) -> Samples:
    """Some rows of samples, (m,) of int, in their order."""
    where = torch.from_numpy(rows)
    return Samples(
        {name: value[where] for name, value in samples.inputs.items()},
        None if samples.labels is None else samples.labels[where],
        tuple(samples.ids[row] for row in rows),
    )


def _digests(samples: Samples, names: Iterable[str], *, labelled: bool) -> list[bytes]:
    """A digest of every sample: what the model is given of it, and its label if asked for."""
    values, labels = dict(samples.inputs), samples.labels
    mask = values.get("attention_mask")
    # What a decoder is given follows from the labels, at the width of the longest of them.
    follows = labels is not None and labels.dim() == 2
    wanted = [name for name in names if name in values and not name.endswith("attention_mask")]
    wanted = [name for name in wanted if not (follows and name.startswith("decoder_"))]
    digests = []
    for row in range(len(samples)):
        digest = hashlib.sha256()
        tokens = None if mask is None else mask[row].bool()
        for name in wanted:
            digest.update(name.encode() + b"\0" + _content(values[name][row], tokens))
        if labelled and labels is not None:
            given = labels[row]
            digest.update(b"labels\0" + _content(given[given != IGNORED], None))
            if given.dim():  # which tokens are asked for, not how far the row is padded
                digest.update(_content((given != IGNORED).long(), tokens))
        digests.append(digest.digest())
    return digests


def _content(value: Tensor, tokens: Tensor | None) -> bytes:
    """The bytes of one sample's input, whatever it was padded to and stored as."""
    value = value.detach().cpu()
    value = value.float() if value.is_floating_point() else value.long()
    if tokens is not None and value.shape == tokens.shape:
        value = value[tokens.cpu()]
    elif value.dim() == 1:
        value = torch.from_numpy(np.trim_zeros(value.numpy(), "b").copy())
    return value.contiguous().numpy().tobytes()
