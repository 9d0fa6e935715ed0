"""LoRA adapters: PEFT's folders and files, and the files that diffusers and kohya write."""

from __future__ import annotations

from pathlib import Path

from mergecast.checkpoints.checkpoint import FORMATS, Checkpoint, CheckpointFormat
from mergecast.checkpoints.lora_files import ADAPTER_CONFIG, is_adapter_file, open_lora_file
from mergecast.checkpoints.lora_peft import open_lora
from mergecast.errors import CheckpointError


def _claims(path: Path) -> bool:
    return (path / ADAPTER_CONFIG).is_file() if path.is_dir() else is_adapter_file(path)


def _open(path: Path, base: Checkpoint | None) -> Checkpoint:
    if base is None:
        raise CheckpointError(path, "is a LoRA adapter", "open it with its base model")
    if path.is_dir():
        return open_lora(path, base)
    if (path.parent / ADAPTER_CONFIG).is_file():
        return open_lora(path.parent, base)
    return open_lora_file(path, base)


FORMATS.add("lora", CheckpointFormat("LoRA adapter", _claims, _open))
