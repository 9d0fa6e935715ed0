"""A task as a file of tasks describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mergecast.checkpoints.hub import located
from mergecast.checkpoints.side_files import read_json
from mergecast.errors import MergecastError, UndefinedError, UsageError
from mergecast.tasks import models
from mergecast.tasks.class_names import as_numbers, class_names
from mergecast.tasks.columns import Columns, as_tensor, open_columns
from mergecast.tasks.encoded import encoded
from mergecast.tasks.encoding import TextEncoder
from mergecast.tasks.kinds import Kind, Outputs, kind_of, next_tokens, shifted_right
from mergecast.tasks.pixels import PIXELS, PixelEncoder, holds_images
from mergecast.tasks.scores import IGNORED, ScoreName
from mergecast.tasks.spec import DataSpec, TaskSpec
from mergecast.tasks.task import Samples, Split, Task, draw, take
from mergecast.typing import Array


@dataclass
class FileTask(Task):
    """One task of a file; relative paths start at `folder`."""

    spec: TaskSpec
    folder: Path = field(default=Path())

    def __post_init__(self) -> None:
        head = ("head.weight", "head.bias") if self.spec.head else ()
        self.private = (*self.spec.private, *head)

    @cached_property
    def kind(self) -> Kind:
        """What the model's outputs, labels and loss are."""
        model = self.spec.model
        folder = None if model.folder is None else self.model_path(model.folder)
        headed = "classification" if self.spec.head else None  # whatever its class has by itself
        kind = kind_of(model.auto, folder, self.spec.loss or headed)
        if self.spec.score != "accuracy" and kind.outputs != "classes":
            raise UsageError(
                f"task {self.name!r}",
                f"is of kind {kind.name}, which has no {self.spec.score}",
                "leave score out",
            )
        return kind

    @property
    def kind_name(self) -> str:
        """As the file, or the model's class and config, say."""
        return self.kind.name

    @property
    def score_name(self) -> ScoreName:
        """As the file says."""
        return self.spec.score

    @property
    def outputs(self) -> Outputs:
        """As the kind says."""
        return self.kind.outputs

    @property
    def answers_tokens(self) -> bool:
        """Of language models, masked ones among them."""
        return super().answers_tokens or self.spec.model.auto == "AutoModelForMaskedLM"

    def answer(self, output: Any, samples: Samples) -> Tensor:
        """Logits as the kind compares them; pooled features of a model without a head."""
        if self.kind.outputs == "features":
            return models.pooled(output, samples.inputs.get("attention_mask"))
        return self.kind.logits(self.logits(output))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """As the kind says."""
        if self.kind.outputs == "classes":
            return super().loss(logits, labels)
        return self.kind.loss(logits, labels)

    def score(self, logits: Tensor, labels: Tensor) -> Tensor:
        """What the file names; undefined for what has no classes."""
        if self.kind.outputs != "classes":
            raise UndefinedError(f"task {self.name!r}", f"a {self.kind.name} has no accuracy")
        return super().score(logits, labels)

    def probability(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of the true class; undefined for what has no classes."""
        if self.kind.outputs != "classes":
            raise UndefinedError(f"task {self.name!r}", f"a {self.kind.name} has no classes")
        return super().probability(logits, labels)

    def check_labels(self, logits: Tensor, labels: Tensor) -> None:
        """As for classes; values need one label a sample."""
        if self.kind.outputs == "classes":
            super().check_labels(logits, labels)
        elif labels.numel() != logits.numel() and self.kind.outputs == "values":
            raise UsageError(
                f"task {self.name!r}",
                f"labels of shape {list(labels.shape)} for outputs of {list(logits.shape)}",
                "give one value for each output",
            )

    @property
    def blueprint(self) -> str:
        """The model's section; heads from files are swapped in, whatever their size."""
        normalize = self.spec.head.normalize if self.spec.head else None
        return f"{self.spec.model.model_dump_json()}:{normalize}:{self.folder.resolve()}"

    @property
    def definition(self) -> dict[str, object]:
        """The score, the kind, and what the model is built from."""
        kind = {} if self.spec.loss is None else {"loss": self.spec.loss}
        return {**super().definition, **kind, "built": self._built}

    @cached_property
    def _built(self) -> str:
        """Digest of a config, or of a user's code: what no model's weights say."""
        model = self.spec.model
        if model.build is not None:
            return models.source_digest(model.build)
        return models.config_digest(self.model_path(model.folder))

    def build(self) -> nn.Module:
        """The architecture, with the head on it if the task brings one."""
        model = self.spec.model
        if model.build is not None:
            module = models.build_by_function(model.build, model.args)
        else:
            module = models.from_config(self.model_path(model.folder), str(model.auto))
            models.give_pad_token(module)
        if self.spec.head is None:
            return module
        weight = self.head()["head.weight"]
        return models.with_linear_head(module, weight, self.spec.head.normalize)

    def head(self) -> Mapping[str, Tensor]:
        """``head.weight`` and ``head.bias`` (zeros if the file has none)."""
        if self.spec.head is None:
            return {}
        return models.linear_head(self.name, self.path(self.spec.head.weights))

    def samples(self, count: int | None, seed: int, split: Split = "calibration") -> Samples:
        """Samples of the task's ``data`` (calibration) or ``test``."""
        data = self.section(split)
        read = self._called if data.call else self._read
        try:
            return read(data, count, seed, split)
        except MergecastError as error:
            if error.thing.startswith(f"task {self.name!r}"):
                raise
            raise error.about(f"task {self.name!r}") from error

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the model's config calls its classes; empty where it has no names of its own."""
        folder = self.spec.model.folder
        return class_names(None if folder is None else self.model_path(folder))

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that the file describes."""
        return ("calibration",) if self.spec.test is None else ("calibration", "test")

    def section(self, split: Split) -> DataSpec:
        """What the file says of a split's samples; raises UsageError where it says nothing."""
        specs = {"calibration": self.spec.data, "test": self.spec.test}
        data = specs.get(split)
        if data is None:
            raise UsageError.unknown("split", split, self.splits).about(f"task {self.name!r}")
        return data

    def columns(self, data: DataSpec) -> Columns:
        """The columns of a section's file; raises UsageError where it cannot be read."""
        return open_columns(self.path(data.file), data.split)

    def labels(self, data: DataSpec, columns: Columns, rows: Array) -> Any:
        """Labels of rows as numbers; names of classes are numbered as the model's config does.

        Raises
        ------
        UsageError
            There is no such column, or it holds names that the config does not have.
        """
        values = columns.read(str(data.labels), rows)
        return as_numbers(str(data.labels), values, self.class_names)

    def encoder(self, data: DataSpec) -> TextEncoder:
        """The tokenizer of a section's texts; raises UsageError where there is none."""
        return TextEncoder(
            self.model_path(data.tokenizer or self.spec.model.folder), data.max_length
        )

    def size(self, split: Split) -> int:
        """Number of samples of a split; only its columns are looked at."""
        data = self.section(split)
        if data.file is None:
            return super().size(split)
        return self.columns(data).rows

    def _called(self, data: DataSpec, count: int | None, seed: int, split: Split) -> Samples:
        result = models.call(str(data.call), data.args)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Mapping)):
            raise UsageError(
                f"{data.call!r}",
                f"returned {type(result).__name__}",
                "return (inputs by name, labels or None)",
            )
        inputs: dict[str, Tensor] = {}
        for name, value in result[0].items():
            if name == PIXELS and holds_images(value):
                source = self.folder / str(data.call)
                inputs[name] = self._pixels(data, source, value, range(len(value)))
            else:
                inputs[str(name)] = _tensor(str(name), value)
        labels = None if result[1] is None else _tensor("labels", result[1])
        return self._with_labels(take(self.name, split, inputs, labels, count, seed))

    def _read(self, data: DataSpec, count: int | None, seed: int, split: Split) -> Samples:
        columns = self.columns(data)
        rows = draw(columns.rows, count, seed, self.name, split)
        inputs: dict[str, Tensor] = {}
        labels: Tensor | None = None
        if data.text is not None:
            inputs, labels = encoded(
                self.kind,
                self.encoder(data),
                data,
                columns,
                rows,
                partial(self.labels, data, columns, rows),
            )
        for name, column in data.inputs.items():
            values = columns.read(column, rows)
            if name == PIXELS and holds_images(values):
                inputs[name] = self._pixels(data, columns.path, values, rows.tolist())
                continue
            inputs[name], mask = as_tensor(column, values)
            if mask is not None and name == "input_ids" and "attention_mask" not in data.inputs:
                inputs["attention_mask"] = mask
        if data.labels is not None and labels is None:
            labels, _ = as_tensor(data.labels, self.labels(data, columns, rows), padding=IGNORED)
        ids = tuple(f"{self.name}/{split}/{row}" for row in rows.tolist())
        return self._with_labels(Samples(inputs, labels, ids))

    def _pixels(
        self, data: DataSpec, source: Path, values: Sequence[Any], rows: Sequence[int]
    ) -> Tensor:
        """Images as the model's, or the named, processor makes pixels of them."""
        folder = data.processor or self.spec.model.folder
        if folder is None:
            raise UsageError(f"task {self.name!r}", "has no image processor", "set data.processor")
        return PixelEncoder(self.model_path(folder)).pixels(source, values, rows)

    def _with_labels(self, samples: Samples) -> Samples:
        """Labels in the form of the kind, and the decoder's inputs that follow from them."""
        labels, inputs, name = samples.labels, dict(samples.inputs), self.kind.name
        if labels is None and name == "next_token":
            if "input_ids" not in inputs:
                raise UsageError(
                    f"task {self.name!r}", "has no input_ids to take next tokens from", "name them"
                )
            labels = next_tokens(inputs["input_ids"], inputs.get("attention_mask"))
        if labels is None:
            return samples
        labels = self.kind.labels(self.name, labels)
        if name == "seq2seq" and "decoder_input_ids" not in inputs:
            inputs["decoder_input_ids"] = shifted_right(labels, *self._decoder_start())
        return Samples(inputs, labels, samples.ids)

    def _decoder_start(self) -> tuple[int, int]:
        """The token that a decoder begins with, and the one that pads."""
        config = read_json(self.model_path(self.spec.model.folder) / "config.json")
        pad = int(config.get("pad_token_id") or 0)
        start = config.get("decoder_start_token_id")
        return (pad if start is None else int(start)), pad

    def path(self, path: Path | None) -> Path:
        """A path of the file, from where the program runs; raises UsageError for None."""
        return self.folder / self._said(path)  # an absolute path stays

    def model_path(self, path: Path | None) -> Path:
        """The same of a model's folder, which may also be a model of the hub, by name."""
        return located(self.folder, self._said(path))

    def _said(self, path: Path | None) -> Path:
        if path is None:
            raise UsageError(f"task {self.name!r}", "has no tokenizer folder", "set data.tokenizer")
        return path


def _tensor(name: str, value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else as_tensor(name, value)[0]
