"""Every format that comes with mergecast keeps the laws; one that breaks a law is told by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import checkpoint_files as files
from mergecast.checkpoints.checkpoint import FORMATS, Checkpoint, CheckpointFormat, TensorInfo
from mergecast.errors import CheckpointError
from mergecast.testing import check_checkpoint_format


def as_adapter(folder):
    save_file({"layer.weight": torch.randn(8, 6)}, folder / "base.safetensors")
    (folder / "adapter").mkdir()
    (folder / "adapter/adapter_config.json").write_text(
        '{"peft_type": "LORA", "r": 2, "lora_alpha": 8}'
    )
    parts = {"lora_A": torch.randn(2, 6), "lora_B": torch.randn(8, 2)}
    save_file(
        {f"base_model.model.layer.{name}.weight": value for name, value in parts.items()},
        folder / "adapter/adapter_model.safetensors",
    )
    return folder / "adapter", folder / "base.safetensors"


WRITERS = {
    "lora": [as_adapter],
    "folder": [files.as_folder, files.as_shards, files.as_torch_shards],
    "safetensors": [files.as_safetensors],
    "torch": [files.as_torch, files.as_legacy_torch, files.as_wrapped_torch],
}


def test_every_format_that_comes_with_mergecast_keeps_the_laws(tmp_path):
    for name in FORMATS.names():
        for number, write in enumerate(WRITERS[name]):
            folder = tmp_path / f"{name}{number}"
            folder.mkdir()
            written = write(folder)
            check_checkpoint_format(name, *(written if isinstance(written, tuple) else [written]))


class Raw(Checkpoint):
    """One float32 vector, as bytes, and the ways in which a reader may be wrong."""

    wrong = ""

    def __init__(self, path, _base=None):
        data = path.read_bytes()
        if self.wrong != "careless" and len(data) != 32:
            raise CheckpointError(path, f"holds {len(data)} bytes, not 32", "fetch it again")
        self.kept = np.frombuffer(data, dtype=np.float32)
        shape = (4, 2) if self.wrong != "shape" else (8, 2)
        dtype = np.dtype(np.float32 if self.wrong != "dtype" else np.float64)
        super().__init__(path, {"w": TensorInfo("w", shape, dtype)})

    def _read(self, info, start, stop):
        if self.wrong == "shared":
            return self.kept[start:stop]
        if self.wrong == "whole":
            return self.kept.copy()[: stop - start]
        return self.kept[start:stop].copy()


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("", ""),
        ("dtype", "'w' is read as .*float32.*, the header says .*float64"),
        ("whole", "elements 1 to 8 of 'w' differ from those of the whole"),
        ("shared", "'w' cannot be written to"),
        ("careless", "cut to .* of 32 bytes it is read all the same|cut to .* bytes it is a "),
        ("claims", "is claimed by nobody"),
        ("greedy", "is claimed by safetensors, raw"),
    ],
)
def test_a_broken_law_is_named(wrong, problem, tmp_path):
    path = tmp_path / ("m.safetensors" if wrong == "greedy" else "m.raw")
    path.write_bytes(np.arange(8, dtype=np.float32).tobytes())
    reader = type("Wrong", (Raw,), {"wrong": wrong})
    claims = {"claims": lambda _: False, "greedy": lambda _: True}
    with FORMATS.isolated():
        one = claims.get(wrong, lambda given: given.suffix == ".raw")
        FORMATS.add("raw", CheckpointFormat("raw", one, reader, (".raw",)))
        if not problem:
            check_checkpoint_format("raw", path)
            return
        with pytest.raises(AssertionError, match=f"checkpoint format 'raw': .*({problem})"):
            check_checkpoint_format("raw", path)
