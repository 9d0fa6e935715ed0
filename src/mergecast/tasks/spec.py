"""The fields of a file of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mergecast.tasks.scores import ScoreName

KindName = Literal[
    "classification",
    "embedding",
    "multi_label",
    "next_token",
    "regression",
    "seq2seq",
    "tokens",
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSpec(_Strict):
    """How a model is built: `folder` and `auto`, or `build` and `args`."""

    folder: Path | None = None
    """A folder with ``config.json``; only that is read."""
    auto: str | None = Field(None, pattern="^AutoModel")
    """A transformers Auto class."""
    build: str | None = Field(None, pattern="^[^:]+:[^:]+$")
    """``module:function`` that returns the module."""
    args: dict[str, Any] = {}
    """Keyword arguments of `build`."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.build is None) == (self.folder is None):
            raise ValueError("give either folder and auto, or build")
        if self.folder is not None and self.auto is None:
            raise ValueError("auto is missing: name a class such as AutoModelForCausalLM")
        return self


class HeadSpec(_Strict):
    """A linear head kept beside the checkpoints: tensors ``weight`` and, if any, ``bias``."""

    weights: Path
    normalize: bool = False
    """Divide features by their norm first (CLIP's zero-shot heads)."""


class TextPair(_Strict):
    """Two columns of text that a tokenizer joins."""

    text: str
    text_pair: str


class DataSpec(_Strict):
    """Where samples come from: a file or folder with named columns, or a function."""

    file: Path | None = None
    """``.parquet``, ``.csv``, ``.tsv``, ``.jsonl``, ``.json`` or ``.npz``, or a folder written by a
    Hugging Face dataset's save_to_disk."""
    split: str | None = None
    """Split of a saved dataset with several."""
    inputs: dict[str, str] = {}
    """Argument of the model's forward to column; images (paths, bytes, datasets' own) under
    ``pixel_values`` go through `processor`."""
    processor: Path | None = None
    """Folder of the image processor; the model's folder if not given."""
    text: str | tuple[str, str] | TextPair | None = None
    """Column of text (or of lists of words, or of chats), turned into tokens by `tokenizer`; two
    columns for sentence pairs."""
    completion: str | None = None
    """Column of what follows `text`, the prompt: a language model is asked about its tokens alone.
    Where it is the column of `text`, its last message is what follows the rest of each chat."""
    choices: str | None = None
    """Column of lists of texts, of which one answers `text` (multiple choice)."""
    tokenizer: Path | None = None
    """Folder of the tokenizer; the model's folder if not given."""
    max_length: int = Field(128, ge=1)
    """Tokens kept of a text."""
    labels: str | None = None
    """Column of classes, values, labels of tokens or words, or target texts; a language model's are
    its own next tokens if not given."""
    call: str | None = Field(None, pattern="^[^:]+:[^:]+$")
    """``module:function`` returning (inputs by name, labels or None)."""
    args: dict[str, Any] = {}
    """Keyword arguments of `call`."""

    @field_validator("inputs", mode="before")
    @classmethod
    def _same_names(cls, value: Any) -> Any:
        return {name: name for name in value} if isinstance(value, list) else value

    @property
    def columns_of_text(self) -> tuple[str, ...]:
        """The column of texts, or the two of pairs; empty where there are none."""
        if isinstance(self.text, TextPair):
            return self.text.text, self.text.text_pair
        return (self.text,) if isinstance(self.text, str) else self.text or ()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.call is None) == (self.file is None):
            raise ValueError("give either file or call")
        if self.file is not None and bool(self.inputs) == (self.text is not None):
            raise ValueError("give either inputs or text")
        if self.completion is not None and (
            not isinstance(self.text, str) or self.choices is not None or self.labels is not None
        ):
            raise ValueError("completion goes with one text, and without choices and labels")
        return self


class TaskSpec(_Strict):
    """One task."""

    model: ModelSpec
    private: tuple[str, ...] = ()
    head: HeadSpec | None = None
    loss: KindName | None = None
    """Kind of the task; what the model's class and config say if not given."""
    score: ScoreName = "accuracy"
    """What of a score merges are to keep; of a language model's tokens ``accuracy`` is the share
    that are right, ``exact_match`` asks for all of a sample's, ``likelihood`` is
    1 / perplexity of a sample, in the mean over samples."""
    data: DataSpec
    test: DataSpec | None = None


class TasksFile(_Strict):
    """The file: `tasks` by the label of their model; `defaults` of fields they do not set."""

    tasks: Mapping[str, TaskSpec] = Field(min_length=1)
