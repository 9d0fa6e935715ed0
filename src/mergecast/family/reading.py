"""How the files of a family were read: which, by which rule, what beside them was left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.layouts import choose_weights
from mergecast.checkpoints.lora_files import ADAPTER_CONFIG
from mergecast.checkpoints.renamed import RenamedCheckpoint
from mergecast.checkpoints.side_files import is_weight, read_json
from mergecast.errors import CheckpointError
from mergecast.family.family import Family

_ADAPTER_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_SHOWN = 6


@dataclass(frozen=True)
class Reading:
    """How one checkpoint was read.

    Attributes
    ----------
    label : str
        Of the model; ``base`` for the base.
    subject : str
        ``base`` or ``model``: a model may be called base as well.
    path : str
        The folder or file.
    lines : tuple of str
        What was read and left out, and by which rules.
    """

    label: str
    subject: Literal["base", "model"]
    path: str
    lines: tuple[str, ...]


def readings(family: Family) -> list[Reading]:
    """How the base and every model were read, the base first."""
    base = family.base
    return [
        Reading("base", "base", str(base.path), tuple(_lines(base))),
        *(
            Reading(label, "model", str(model.path), tuple(_lines(model)))
            for label, model in family.models.items()
        ),
    ]


def _lines(checkpoint: Checkpoint) -> Iterator[str]:
    path = checkpoint.path
    if not path.is_dir():
        yield f"reads {path.name}: the file that was given"
    elif not checkpoint.has_values:
        yield "reads headers on the hub, and no weights: they are not here"
    elif (path / ADAPTER_CONFIG).is_file():
        yield from _adapter(path)
    else:
        try:
            chosen = choose_weights(path)
        except CheckpointError:  # a format of another package knows its own folders
            yield "reads the folder: by the rules of its format"
        else:
            yield f"reads {chosen.file.name}: {chosen.rule}"
            yield from _left_out(path, {chosen.file.name, *_shards(chosen.file)})
    if isinstance(checkpoint, RenamedCheckpoint):
        new, old = next(iter(checkpoint.renamed.items()))
        count = len(checkpoint.renamed)
        more = ", and so on" if count > 1 else ""
        yield f"{count} tensor(s) are taken under the base's names: {old} as {new}{more}"
    for name, kept in checkpoint.tied.items():
        yield f"{name} is tied to {kept} and counted once"


def _adapter(folder: Path) -> Iterator[str]:
    read = next((name for name in _ADAPTER_FILES if (folder / name).is_file()), "")
    yield f"reads {read}: the first there is, in the order of PEFT: {', '.join(_ADAPTER_FILES)}"
    yield from _left_out(folder, {read})
    config = read_json(folder / ADAPTER_CONFIG)
    recorded, revision = config.get("base_model_name_or_path"), config.get("revision")
    if recorded:
        at = f" at revision {revision}" if revision else ""
        yield f"was trained on the base {recorded!r}{at}, says its {ADAPTER_CONFIG}"
    else:
        yield f"its {ADAPTER_CONFIG} does not say on which base it was trained"


def _shards(file: Path) -> set[str]:
    """The files that an index lists; none for a file of weights."""
    listed = read_json(file).get("weight_map") if file.suffix == ".json" else None
    return set(map(str, listed.values())) if isinstance(listed, dict) else set()


def _left_out(folder: Path, read: set[str]) -> Iterator[str]:
    rest = sorted(
        file.name
        for file in folder.iterdir()
        if file.is_file() and is_weight(file.name) and file.name not in read
    )
    if rest:
        more = f" and {len(rest) - _SHOWN} more" if len(rest) > _SHOWN else ""
        yield f"leaves out: {', '.join(rest[:_SHOWN])}{more}"
