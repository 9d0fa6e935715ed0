"""Every format gives the same names, shapes, dtypes and values."""

from __future__ import annotations

import json
import os

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from checkpoint_files import (
    TENSORS,
    as_folder,
    as_legacy_torch,
    as_safetensors,
    as_shards,
    as_torch,
    as_torch_shards,
    as_wrapped_torch,
)
from mergecast.checkpoints import Checkpoint
from mergecast.checkpoints.torch_bridge import to_array, to_tensor
from mergecast.errors import CheckpointError, UsageError

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
