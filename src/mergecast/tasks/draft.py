"""The task of one model as far as its folder tells: what builds it, its head, columns expected."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.side_files import read_json, vocabulary
from mergecast.errors import MergecastError
from mergecast.tasks.auto_classes import SCORED, adapter_class, auto_class, main_input
from mergecast.tasks.class_names import class_names
from mergecast.tasks.head import Head
from mergecast.tasks.kinds import kind_of
from mergecast.tasks.load import TODO

if TYPE_CHECKING:
    from torch import nn

#: Kinds of tasks to what their columns hold.
COLUMNS = {
    "classification": "text: texts, or [first, second] for pairs; labels: class numbers from 0 or "
    "their names",
    "multi_label": "text: texts, or [first, second]; labels: lists of 0 and 1, one a class",
    "regression": "text: texts, or [first, second]; labels: numbers",
    "tokens": "text: lists of words; labels: lists of class numbers, one a word",
    "next_token": (
        "text: texts, or chats (lists of messages); completion, where one is to be scored: what "
        "answers them, by score: accuracy (of tokens), exact_match or likelihood"
    ),
    "seq2seq": "text: source texts; labels: target texts",
    "embedding": "text: texts, or [first, second]",
    "choices": "text: questions; choices: lists of answers; labels: the right one, from 0",
}
_HEADED = ("classification", "multi_label", "regression", "tokens")
_SHOWN = 8
_TOKENIZER_FILES = ("tokenizer*", "vocab*", "spiece.model", "sentencepiece*")


@dataclass
class Draft:
    """One task of a drafted file.

    Attributes
    ----------
    label : str
        Of the model.
    about : str
        What the model is, in a line.
    columns : str
        What its columns hold, in a line.
    model, data : dict
        Sections of the task.
    private : list of str
        Patterns of its head, where structure alone does not tell it.
    loss : str or None
        Kind of the task, where its class and config do not say it.
    notes : list of str
        What to think of, a line each.
    """

    label: str
    about: str = ""
    columns: str = ""
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    private: list[str] = field(default_factory=list)
    loss: str | None = None
    notes: list[str] = field(default_factory=list)


def draft_task(
    label: str, model: Checkpoint, base: Checkpoint, shared: Collection[str] = ()
) -> Draft:
    """The task of a model, with TODO where only its owner knows.

    Parameters
    ----------
    label : str
        Of the model.
    model, base : Checkpoint
        The model under its base's names, and the base.
    shared : collection of str
        Parameters that the family would merge.

    Raises
    ------
    UsageError
        transformers is not installed.
    """
    place, base_folder = config_folder(model), config_folder(base)
    adapter = read_json(model.path / "adapter_config.json")
    folder = base_folder if adapter or place is None else place
    if folder is None:
        return _by_hand(label, "no config.json beside its weights, nor beside the base's")
    places = [place for place in (model.path, base_folder) if place is not None]
    auto = adapter_class(adapter, folder) if adapter else auto_class(folder)
    architecture = ", ".join(read_json(folder / "config.json").get("architectures") or ())
    if auto is None:
        return _by_hand(label, f"transformers has no Auto class of {architecture or 'its config'}")
    if auto not in SCORED:
        return _by_hand(label, f"{auto} gives no logits that a task file can score")
    try:
        module = _meta_module(folder, auto)
    except MergecastError as error:
        return _by_hand(label, str(error))
    draft = Draft(label, model={"folder": folder, "auto": auto})
    kind = kind_of(auto, folder, None).name
    head = Head(model, module)
    if adapter and auto == "AutoModelForSequenceClassification" and head.outputs == 1:
        kind = draft.loss = "regression"
    owned = [name for name in head.names if kind in _HEADED and name in shared]
    draft.private = head.patterns(owned)
    if owned:
        draft.notes.append(
            "the base and all models have this head: take private out to merge it as well"
        )
    if head.missing:
        draft.notes.append(
            f"cannot be run: {auto} has {head.missing[0]}, which neither it nor its base holds"
        )
    draft.about = f"LoRA adapter, {auto}" if adapter else architecture
    if kind in _HEADED and auto != "AutoModelForMaskedLM":
        draft.about += _outputs(kind, head.outputs, () if adapter else class_names(folder))
    draft.data = _data(kind, auto, folder)
    draft.columns = _columns(kind, auto, draft.data)
    if "pixel_values" in draft.data.get("inputs", ()):
        draft.data |= _processor(folder, places)
    if "text" in draft.data:
        draft.data |= _tokenizer(folder, places)
    return draft


_CONFIG = "config.json"


def config_folder(checkpoint: Checkpoint) -> Path | None:
    """The folder with the config of a checkpoint; None where there is none."""
    path = checkpoint.path
    folder = path if path.is_dir() else path.parent
    return folder if (folder / _CONFIG).is_file() else None


def _by_hand(label: str, reason: str) -> Draft:
    return Draft(
        label,
        about=reason,
        columns="inputs: argument of the model's forward to column; labels: what it should answer",
        model={"build": TODO},
        data={"file": TODO, "inputs": {TODO: TODO}, "labels": TODO},
        notes=["build: a function of yours, module:function, that returns the model"],
    )


def _meta_module(folder: Path, auto: str) -> nn.Module:
    """The architecture without values."""
    import torch

    from mergecast.tasks.models import from_config

    with torch.device("meta"):
        return from_config(folder, auto)


def _outputs(kind: str, count: int | None, names: Sequence[str]) -> str:
    """How many outputs a head has, and what they are called."""
    if kind == "regression" or count is None:
        return f", {kind}"
    if len(names) != count:
        return f", {count} classes without names"
    shown = ", ".join(f"{i} {name}" for i, name in enumerate(names[:_SHOWN]))
    return f", {count} classes: {shown}{', …' if count > _SHOWN else ''}"


def _data(kind: str, auto: str, folder: Path) -> dict[str, Any]:
    """The section of the samples: every value is a TODO."""
    first = main_input(folder, auto)
    data: dict[str, Any] = {"file": TODO}
    if first != "input_ids":
        data["inputs"] = {first: TODO}
    else:
        data["text"] = TODO
        if auto == "AutoModelForMultipleChoice":
            data["choices"] = TODO
        if auto == "AutoModelForImageTextToText":
            names = ("input_ids", "attention_mask", "pixel_values")
            data = {"file": TODO, "inputs": dict.fromkeys(names, TODO)}
    if kind not in ("next_token", "embedding") and auto != "AutoModelForMaskedLM":
        data["labels"] = TODO
    return data


def _columns(kind: str, auto: str, data: dict[str, Any]) -> str:
    if "inputs" in data:
        names = ", ".join(data["inputs"])
        labels = "; labels: class numbers from 0 or their names" if kind == "classification" else ""
        return f"{names}: images (paths or bytes), or arrays as the processor makes them{labels}"
    if auto == "AutoModelForMaskedLM":
        return "text: texts; labels: token numbers, or none"
    return COLUMNS["choices" if "choices" in data else kind]


def _tokenizer(folder: Path, places: Sequence[Path]) -> dict[str, Any]:
    """The tokenizer's folder, where it is not the one that builds the model."""
    found = [place for place in places if _has_tokenizer(place)]
    if not found:
        return {} if _has_tokenizer(folder) else {"tokenizer": TODO}
    own = found[0]
    if own == folder or (_has_tokenizer(folder) and _tokens(own) == _tokens(folder)):
        return {}
    return {"tokenizer": own}


def _processor(folder: Path, places: Sequence[Path]) -> dict[str, Any]:
    """The image processor's folder, where the one that builds the model holds none."""
    having = [place for place in (folder, *places) if any(place.glob("*processor_config.json"))]
    return {"processor": having[0]} if having and having[0] != folder else {}


def _has_tokenizer(folder: Path) -> bool:
    return folder.is_dir() and any(_matching(folder))


def _matching(folder: Path) -> Iterator[Path]:
    for pattern in _TOKENIZER_FILES:
        yield from folder.glob(pattern)


def _tokens(folder: Path) -> tuple[dict[str, int], Any, str]:
    """Vocabulary and chat template."""
    template = folder / "chat_template.jinja"
    said = read_json(folder / "tokenizer_config.json").get("chat_template")
    text = template.read_text(encoding="utf-8", errors="replace") if template.is_file() else ""
    return vocabulary(folder), said, text
