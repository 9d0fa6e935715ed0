"""Single files written by ``torch.save``; no code of them is ever run."""

from __future__ import annotations

from pathlib import Path

from mergecast.checkpoints.checkpoint import FORMATS, Checkpoint, CheckpointFormat
from mergecast.checkpoints.lora_files import is_adapter_file

_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pth.tar")


def _claims(path: Path) -> bool:
    return path.is_file() and path.name.endswith(_SUFFIXES) and not is_adapter_file(path)


def _open(path: Path, _base: Checkpoint | None) -> Checkpoint:
    from mergecast.checkpoints.torch_file import open_torch

    return open_torch(path)


FORMATS.add("torch", CheckpointFormat("torch", _claims, _open, _SUFFIXES))
