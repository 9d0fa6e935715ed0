"""The fields of a file of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


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


class DataSpec(_Strict):
    """Where samples come from: a file or folder with named columns, or a function."""

    file: Path | None = None
    """``.parquet``, ``.npz``, or a folder written by a Hugging Face dataset's save_to_disk."""
    split: str | None = None
    """Split of a saved dataset with several."""
    inputs: dict[str, str] = {}
    """Argument of the model's forward to column."""
    text: str | None = None
    """Column of text, turned into tokens by `tokenizer`."""
    tokenizer: Path | None = None
    """Folder of the tokenizer; the model's folder if not given."""
    max_length: int = Field(128, ge=1)
    """Tokens kept of a text."""
    labels: str | None = None
    """Column of class indices, or of next tokens; those of `input_ids` if not given."""
    call: str | None = Field(None, pattern="^[^:]+:[^:]+$")
    """``module:function`` returning (inputs by name, labels or None)."""
    args: dict[str, Any] = {}
    """Keyword arguments of `call`."""

    @field_validator("inputs", mode="before")
    @classmethod
    def _same_names(cls, value: Any) -> Any:
        return {name: name for name in value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.call is None) == (self.file is None):
            raise ValueError("give either file or call")
        if self.file is not None and bool(self.inputs) == (self.text is not None):
            raise ValueError("give either inputs or text")
        return self


class TaskSpec(_Strict):
    """One task."""

    model: ModelSpec
    private: tuple[str, ...] = ()
    head: HeadSpec | None = None
    loss: Literal["classification", "next_token"] = "classification"
    data: DataSpec
    test: DataSpec | None = None


class TasksFile(_Strict):
    """The file: `tasks` by the label of their model; `defaults` of fields they do not set."""

    tasks: dict[str, TaskSpec] = Field(min_length=1)
