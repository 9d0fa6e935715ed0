"""Every format gives the same names, shapes, dtypes and values; every bad file one clear line."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mergecast.checkpoints import Checkpoint
from mergecast.checkpoints.torch_bridge import to_array, to_tensor
from mergecast.errors import CheckpointError, UsageError

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


FORMATS = [
    as_safetensors,
    as_torch,
    as_legacy_torch,
    as_wrapped_torch,
    as_folder,
    as_shards,
    as_torch_shards,
]


@pytest.mark.parametrize("write", FORMATS)
def test_every_format_reads_alike(write, tmp_path):
    checkpoint = Checkpoint.open(write(tmp_path))
    assert checkpoint.names == sorted(TENSORS)
    for name, tensor in TENSORS.items():
        info = checkpoint.info(name)
        assert info.shape == tuple(tensor.shape)
        assert info.dtype == to_array(tensor).dtype
        assert info.nbytes == tensor.numel() * tensor.element_size()
        got = checkpoint.array(name)
        assert got.shape == info.shape
        assert got.dtype == info.dtype
        assert got.tobytes() == to_array(tensor).tobytes()


@pytest.mark.parametrize("write", FORMATS)
def test_floats_reads_a_part_and_widens_low_precision(write, tmp_path):
    checkpoint = Checkpoint.open(write(tmp_path))
    part = checkpoint.floats("b.weight", 3, 9)
    np.testing.assert_array_equal(part, TENSORS["b.weight"].reshape(-1)[3:9].numpy())
    wide = checkpoint.floats("a.half")
    assert wide.dtype == np.float32
    np.testing.assert_array_equal(wide, TENSORS["a.half"].float().numpy())


def test_an_array_belongs_to_the_caller(tmp_path):
    checkpoint = Checkpoint.open(as_torch(tmp_path))
    checkpoint.array("b.weight")[:] = 0
    assert checkpoint.array("b.weight")[0, 1] != 0


def test_tied_tensors_are_counted_once_under_their_first_name(tmp_path):
    shared = torch.ones(4, 2)
    torch.save({"z.out": shared, "a.in": shared, "other": torch.ones(4, 2)}, tmp_path / "m.pt")
    checkpoint = Checkpoint.open(tmp_path / "m.pt")
    assert checkpoint.names == ["a.in", "other"]
    assert checkpoint.tied == {"z.out": "a.in"}


def test_embeddings_a_config_ties_are_counted_once(tmp_path):
    weight = torch.randn(6, 3)
    (tmp_path / "config.json").write_text('{"tie_word_embeddings": true}')
    save_file(
        {"lm_head.weight": weight.clone(), "model.embed_tokens.weight": weight.clone()},
        tmp_path / "model.safetensors",
    )
    checkpoint = Checkpoint.open(tmp_path)
    assert checkpoint.names == ["lm_head.weight"]
    assert checkpoint.tied == {"model.embed_tokens.weight": "lm_head.weight"}


def test_an_unknown_tensor_names_the_nearest(tmp_path):
    with pytest.raises(UsageError, match=r"did you mean 'b.weight'\?"):
        Checkpoint.open(as_safetensors(tmp_path)).array("b.weigth")


def test_arrays_and_tensors_of_every_dtype_share_bits():
    for dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float16, torch.int64, torch.bool):
        tensor = torch.tensor([[0.5, 1.0], [0.0, 2.0]]).to(dtype)
        assert torch.equal(to_tensor(to_array(tensor)).float(), tensor.float())
    scalar = to_tensor(np.array(1.5, dtype=ml_dtypes.bfloat16))
    assert scalar.shape == ()
    assert scalar.item() == 1.5
    assert to_array(scalar).shape == ()


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


def test_weights_inside_wrappers_and_under_odd_file_names_are_found(tmp_path):
    nested = {"epoch": 3, "model": {"step": 1, "state_dict": {"w": torch.ones(2)}}}
    torch.save(nested, tmp_path / "nested.pt")
    assert Checkpoint.open(tmp_path / "nested.pt").names == ["w"]
    odd = tmp_path / os.fsdecode(b"n\xff.pt")
    (tmp_path / "nested.pt").rename(odd)
    np.testing.assert_array_equal(Checkpoint.open(odd).array("w"), [1, 1])


def test_a_file_cut_after_opening_is_named_when_read(tmp_path):
    path = as_safetensors(tmp_path)
    checkpoint = Checkpoint.open(path)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(CheckpointError, match="ends inside tensor"):
        for name in checkpoint.names:
            checkpoint.array(name)
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        checkpoint.array("b.weight")


def test_float4_like_dtypes_are_refused_by_name(tmp_path):
    header = {"w": {"dtype": "F8_E8M0", "shape": [2], "data_offsets": [0, 2]}}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (tmp_path / "m.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"\0\0")
    with pytest.raises(CheckpointError, match="dtype F8_E8M0 is not supported; convert it"):
        Checkpoint.open(tmp_path / "m.safetensors")
