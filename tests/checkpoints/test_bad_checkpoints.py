"""Every bad file gets one clear line that names it, the rule and the remedy."""

from __future__ import annotations

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from checkpoint_files import as_folder, as_safetensors, as_shards, as_torch
from mergecast.checkpoints import Checkpoint
from mergecast.errors import CheckpointError


class Exploit:
    def __reduce__(self):
        return os.system, ("echo run > exploited",)


def bad_missing(folder):
    return folder / "none.safetensors", "does not exist; give a .safetensors"


def bad_empty(folder):
    (folder / "m.safetensors").touch()
    return folder / "m.safetensors", r"is empty \(0 bytes\)"


def bad_empty_torch(folder):
    (folder / "m.pt").touch()
    return folder / "m.pt", r"is empty \(0 bytes\)"


def bad_truncated(folder):
    path = as_safetensors(folder)
    path.write_bytes(path.read_bytes()[:-9])
    return path, "truncated or padded: its .* bytes are not what the header declares"


def bad_garbage(folder):
    (folder / "m.safetensors").write_bytes(b"not a checkpoint at all" * 9)
    return folder / "m.safetensors", "not a safetensors file"


def bad_torch_garbage(folder):
    (folder / "m.pt").write_bytes(b"neither is this" * 9)
    return folder / "m.pt", "corrupt or not a torch checkpoint"


def bad_truncated_torch(folder):
    path = as_torch(folder)
    path.write_bytes(path.read_bytes()[:-200])
    return path, "corrupt or not a torch checkpoint"


def bad_code(folder):
    (folder / "m.bin").write_bytes(pickle.dumps({"w": Exploit()}, protocol=2))
    return folder / "m.bin", "holds pickled Python code .*never run; save its state dict"


def bad_code_in_zip(folder):
    torch.save({"w": Exploit()}, folder / "m.pt")
    return folder / "m.pt", "holds pickled Python code"


def bad_list(folder):
    torch.save([torch.ones(2)], folder / "m.pt")
    return folder / "m.pt", "holds a list, not a state dict of tensors"


def bad_entry(folder):
    torch.save({"w": torch.ones(2), "step": 3}, folder / "m.pt")
    return folder / "m.pt", "entry 'step' is a int, not a tensor"


def bad_complex(folder):
    torch.save({"w": torch.ones(2, dtype=torch.complex64)}, folder / "m.pt")
    return folder / "m.pt", "tensor 'w': dtype complex64 is not supported"


def bad_suffix(folder):
    (folder / "m.gguf").write_bytes(b"GGUF")
    return folder / "m.gguf", "format '.gguf' is not read"


def bad_folder(folder):
    (folder / "config.json").write_text("{}")
    return folder, "holds no weights"


def bad_many(folder):
    for name in ("a", "b"):
        save_file({"w": torch.ones(1)}, folder / f"{name}.safetensors")
    return folder, "holds 2 .safetensors files and no index: a.safetensors, b.safetensors"


def bad_config(folder):
    as_folder(folder)
    (folder / "config.json").write_text("{nope")
    return folder, "config.json: is not readable JSON"


def bad_shard_missing(folder):
    as_shards(folder)
    (folder / "model-2.safetensors").unlink()
    return folder, "model-2.safetensors: missing, though model.safetensors.index.json lists it"


def bad_shard_names(folder):
    as_shards(folder)
    save_file({"other": torch.ones(1)}, folder / "model-2.safetensors")
    return folder, "model-2.safetensors: disagrees with .*: only the index names 'c.scalar'"


def bad_index(folder):
    (folder / "model.safetensors.index.json").write_text('{"map": 1}')
    return folder, "is not a shard index with a 'weight_map'"


def bad_index_path(folder):
    text = '{"weight_map": {"w": "../secret.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(text)
    return folder, "names a shard outside its folder"


def bad_no_tensors(folder):
    torch.save({}, folder / "m.pt")
    return folder / "m.pt", "holds no tensors"


def bad_bare_code(folder):
    # What pickle.dump writes today; torch's own reader stops before it sees the function.
    (folder / "m.pt").write_bytes(pickle.dumps({"w": Exploit()}))
    return folder / "m.pt", r"holds pickled Python code \(\w+\.system\), which is never run"


def bad_web_page(folder):
    (folder / "m.bin").write_text("<!DOCTYPE html>" * 50)
    return folder / "m.bin", r"not a torch checkpoint \(no pickled state dict\)"


def bad_cut_zip(folder):
    path = as_torch(folder)
    path.write_bytes(path.read_bytes()[:-30])
    return path, "corrupt or not a torch checkpoint .*; copy or download it again"


def bad_cut_large_zip(folder):
    torch.save({f"layer.{i}.weight": torch.ones(9) for i in range(9)}, folder / "m.pt")
    (folder / "m.pt").write_bytes((folder / "m.pt").read_bytes()[:-30])
    return folder / "m.pt", "corrupt or not a torch checkpoint .*; copy or download it again"


def bad_pointer(folder):
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (folder / "m.safetensors").write_text(text)
    return folder / "m.safetensors", "is a Git LFS pointer, not the weights"


def bad_without_values(folder):
    torch.save({"w": torch.ones(2), "m": torch.ones(2, device="meta")}, folder / "m.pt")
    return folder / "m.pt", "entry 'm' is a tensor without values"


def bad_sparse(folder):
    torch.save({"w": torch.eye(2).to_sparse()}, folder / "m.pt")
    return folder / "m.pt", "entry 'w' is a tensor of layout torch.sparse_coo, not a dense one"


def bad_deep_config(folder):
    as_folder(folder)
    (folder / "config.json").write_text("[" * 100_000)
    return folder, "config.json: is not readable JSON"


def bad_deep_index(folder):
    (folder / "model.safetensors.index.json").write_text("[" * 100_000)
    return folder, "is not a shard index with a 'weight_map'"


def bad_torch_shard_names(folder):
    torch.save({"w": torch.ones(1)}, folder / "one.bin")
    index = {"weight_map": {"w": "one.bin", "v": "one.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder, "one.bin: disagrees with .*: only the index names 'v'"


BAD = [value for name, value in sorted(globals().items()) if name.startswith("bad_")]


@pytest.mark.parametrize("make", BAD)
def test_bad_input_gets_one_line_with_file_rule_and_remedy(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, message = make(tmp_path)
    with pytest.raises(CheckpointError, match=message) as caught:
        Checkpoint.open(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(path))
    assert caught.value.remedy
    assert not (tmp_path / "exploited").exists()
