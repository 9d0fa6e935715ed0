"""Single ``.safetensors`` files."""

from __future__ import annotations

from pathlib import Path

from mergecast.checkpoints.checkpoint import FORMATS, Checkpoint, CheckpointFormat
from mergecast.checkpoints.lora_files import is_adapter_file
from mergecast.checkpoints.quantized import widened
from mergecast.checkpoints.safetensors_file import open_safetensors

_SUFFIX = ".safetensors"


def _claims(path: Path) -> bool:
    return path.is_file() and path.name.endswith(_SUFFIX) and not is_adapter_file(path)


def _open(path: Path, _base: Checkpoint | None) -> Checkpoint:
    return widened(open_safetensors(path), {})


FORMATS.add("safetensors", CheckpointFormat("safetensors", _claims, _open, (_SUFFIX,)))
