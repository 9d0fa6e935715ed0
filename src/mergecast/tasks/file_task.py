"""A task as a file of tasks describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import MergecastError, UsageError
from mergecast.tasks import models
from mergecast.tasks.columns import as_tensor, open_columns
from mergecast.tasks.scores import IGNORED
from mergecast.tasks.spec import DataSpec, TaskSpec
from mergecast.tasks.task import Samples, Split, Task, draw, take


@dataclass
class FileTask(Task):
    """One task of a file; relative paths start at `folder`."""

    spec: TaskSpec
    folder: Path = field(default=Path())

    def __post_init__(self) -> None:
        head = ("head.weight", "head.bias") if self.spec.head else ()
        self.private = (*self.spec.private, *head)

    @property
    def blueprint(self) -> str:
        """The model's section; heads from files are swapped in, whatever their size."""
        normalize = self.spec.head.normalize if self.spec.head else None
        return f"{self.spec.model.model_dump_json()}:{normalize}:{self.folder.resolve()}"

    def build(self) -> nn.Module:
        """The architecture, with the head on it if the task brings one."""
        model = self.spec.model
        if model.build is not None:
            module = models.build_by_function(model.build, model.args)
        else:
            module = models.from_config(self._path(model.folder), str(model.auto))
        if self.spec.head is None:
            return module
        weight = self.head()["head.weight"]
        return models.with_linear_head(module, weight, self.spec.head.normalize)

    def head(self) -> Mapping[str, Tensor]:
        """``head.weight`` and ``head.bias`` (zeros if the file has none)."""
        if self.spec.head is None:
            return {}
        file = Checkpoint.open(self._path(self.spec.head.weights))
        weight = to_tensor(file.floats("weight").reshape(file.info("weight").shape))
        if weight.dim() != 2:
            raise UsageError(
                f"head of {self.name!r}",
                f"weight has shape {list(weight.shape)}",
                "store (classes, features)",
            )
        has_bias = "bias" in file.infos
        bias = to_tensor(file.floats("bias")) if has_bias else weight.new_zeros(len(weight))
        return {"head.weight": weight, "head.bias": bias}

    def samples(self, count: int | None, seed: int, split: Split = "calibration") -> Samples:
        """Samples of the task's ``data`` (calibration) or ``test``."""
        specs = {"calibration": self.spec.data, "test": self.spec.test}
        data = specs.get(split)
        if data is None:
            splits = [name for name, value in specs.items() if value is not None]
            raise UsageError.unknown("split", split, splits).about(f"task {self.name!r}")
        read = self._called if data.call else self._read
        try:
            return read(data, count, seed, split)
        except MergecastError as error:
            if error.thing.startswith(f"task {self.name!r}"):
                raise
            raise error.about(f"task {self.name!r}") from error

    def _called(self, data: DataSpec, count: int | None, seed: int, split: Split) -> Samples:
        result = models.call(str(data.call), data.args)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Mapping)):
            raise UsageError(
                f"{data.call!r}",
                f"returned {type(result).__name__}",
                "return (inputs by name, labels or None)",
            )
        inputs = {str(name): _tensor(str(name), value) for name, value in result[0].items()}
        labels = None if result[1] is None else _tensor("labels", result[1])
        return self._with_labels(take(self.name, split, inputs, labels, count, seed))

    def _read(self, data: DataSpec, count: int | None, seed: int, split: Split) -> Samples:
        columns = open_columns(self._path(data.file), data.split)
        rows = draw(columns.rows, count, seed, self.name, split)
        inputs: dict[str, Tensor] = {}
        if data.text is not None:
            inputs = self._tokens(data, columns.read(data.text, rows))
        for name, column in data.inputs.items():
            inputs[name], mask = as_tensor(column, columns.read(column, rows))
            if mask is not None and name == "input_ids" and "attention_mask" not in data.inputs:
                inputs["attention_mask"] = mask
        labels = None
        if data.labels is not None:
            labels, _ = as_tensor(data.labels, columns.read(data.labels, rows), padding=IGNORED)
        ids = tuple(f"{self.name}/{split}/{row}" for row in rows.tolist())
        return self._with_labels(Samples(inputs, labels, ids))

    def _tokens(self, data: DataSpec, texts: Any) -> dict[str, Tensor]:
        from transformers import AutoTokenizer

        folder = self._path(data.tokenizer or self.spec.model.folder)
        if not all(isinstance(text, str) for text in texts):
            raise UsageError(f"column {data.text!r}", "does not hold text", "name a text column")
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True
            )
            tokens = tokenizer(
                list(texts),
                truncation=True,
                padding=True,
                max_length=data.max_length,
                return_tensors="pt",
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = str(error).strip().splitlines()[0]
            raise UsageError(f"tokenizer {folder}", problem, "give a tokenizer's folder") from error
        return dict(tokens)

    def _with_labels(self, samples: Samples) -> Samples:
        """Next tokens for a language model without labels of its own; integers in any case."""
        labels = samples.labels
        if labels is None and self.spec.loss == "next_token":
            if "input_ids" not in samples.inputs:
                raise UsageError(
                    f"task {self.name!r}", "has no input_ids to take next tokens from", "name them"
                )
            labels = next_tokens(samples.inputs["input_ids"], samples.inputs.get("attention_mask"))
        if labels is None:
            return samples
        wanted = 2 if self.spec.loss == "next_token" else 1
        if labels.is_floating_point() or labels.dim() != wanted:
            raise UsageError(
                f"task {self.name!r}",
                f"labels are {str(labels.dtype).removeprefix('torch.')} of shape "
                f"{list(labels.shape)}",
                f"give integers with {wanted} dimension(s) for the loss {self.spec.loss}",
            )
        return Samples(samples.inputs, labels, samples.ids)

    def _path(self, path: Path | None) -> Path:
        if path is None:
            raise UsageError(f"task {self.name!r}", "has no tokenizer folder", "set data.tokenizer")
        return path if path.is_absolute() else self.folder / path


def next_tokens(ids: Tensor, mask: Tensor | None = None) -> Tensor:
    """Labels (n, L) of token ids (n, L): position t holds token t + 1; -100 at the end and where
    either of the two is masked.
    """
    labels = torch.full_like(ids, IGNORED)
    labels[:, :-1] = ids[:, 1:]
    if mask is not None:
        labels[:, :-1][(mask[:, 1:] == 0) | (mask[:, :-1] == 0)] = IGNORED
    return labels


def _tensor(name: str, value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else as_tensor(name, value)[0]
