"""The same tensors in every format that is read."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

TENSORS = {
    "b.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4) / 7,
    "a.half": torch.linspace(-1, 1, 5).to(torch.bfloat16),
    "c.scalar": torch.tensor(2.5),
    "d.ids": torch.arange(3),
    "e.mask": torch.tensor([True, False]),
}


def as_safetensors(folder: Path) -> Path:
    save_file(TENSORS, folder / "m.safetensors")
    return folder / "m.safetensors"


def as_torch(folder: Path) -> Path:
    torch.save(TENSORS, folder / "m.pt")
    return folder / "m.pt"


def as_legacy_torch(folder: Path) -> Path:
    torch.save(TENSORS, folder / "m.bin", _use_new_zipfile_serialization=False)
    return folder / "m.bin"


def as_wrapped_torch(folder: Path) -> Path:
    torch.save({"state_dict": TENSORS, "epoch": 3}, folder / "m.pth")
    return folder / "m.pth"


def as_folder(folder: Path) -> Path:
    (folder / "config.json").write_text("{}")
    save_file(TENSORS, folder / "model.safetensors")
    return folder


def as_shards(folder: Path) -> Path:
    names = sorted(TENSORS)
    parts = {"model-1.safetensors": names[:2], "model-2.safetensors": names[2:]}
    for file, members in parts.items():
        save_file({n: TENSORS[n] for n in members}, folder / file)
    weight_map = {n: file for file, members in parts.items() for n in members}
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def as_torch_shards(folder: Path) -> Path:
    names = sorted(TENSORS)
    parts = {"pytorch_model-1.bin": names[:2], "pytorch_model-2.bin": names[2:]}
    for file, members in parts.items():
        torch.save({n: TENSORS[n] for n in members}, folder / file)
    weight_map = {n: file for file, members in parts.items() for n in members}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder
