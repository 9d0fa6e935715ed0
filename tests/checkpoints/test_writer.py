"""Written checkpoints read back bit for bit, and an interrupted write leaves the old or none."""

from __future__ import annotations

import os

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open

from mergecast.checkpoints import Checkpoint, TensorInfo
from mergecast.checkpoints.writer import SafetensorsWriter, write_safetensors
from mergecast.errors import ResourceError, UsageError

TENSORS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.ones(3, dtype=ml_dtypes.bfloat16),
    "flag": np.array([True, False, True]),
    "scalar": np.array(1.25),
    "empty": np.zeros((0, 4), dtype=np.float32),
}
INFOS = [TensorInfo(name, array.shape, array.dtype) for name, array in TENSORS.items()]


def test_a_file_reads_back_bit_for_bit(tmp_path):
    write_safetensors(tmp_path / "m.safetensors", TENSORS, {"who": "me"})
    checkpoint = Checkpoint.open(tmp_path / "m.safetensors")
    for name, array in TENSORS.items():
        got = checkpoint.array(name)
        assert got.dtype == array.dtype
        assert got.tobytes() == array.tobytes()
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt", "who": "me"}
        assert file.get_tensor("w").tolist() == TENSORS["w"].tolist()


def test_an_interrupted_file_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "m.safetensors"
    write_safetensors(path, {"w": np.zeros(2)})
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), SafetensorsWriter(path, INFOS) as writer:
        writer.write("w", TENSORS["w"])
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_signal_at_the_moment_there_is_a_file_leaves_nothing(tmp_path, monkeypatch):
    def opened(*given):
        descriptor = open_file(*given)
        os.close(descriptor)
        raise KeyboardInterrupt

    open_file = os.open
    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(KeyboardInterrupt):
        write_safetensors(tmp_path / "new.safetensors", {"w": np.ones(3)})
    assert not [*tmp_path.iterdir()]


def test_a_forgotten_or_wrong_tensor_is_an_error(tmp_path):
    with (
        pytest.raises(UsageError, match="tensor 'empty' was never written"),
        SafetensorsWriter(tmp_path / "m.safetensors", INFOS) as writer,
    ):
        for name in ("w", "half", "flag", "scalar"):
            writer.write(name, TENSORS[name])
    with (
        pytest.raises(UsageError, match=r"is float64 \[2, 3\], declared float32"),
        SafetensorsWriter(tmp_path / "m.safetensors", INFOS) as writer,
    ):
        writer.write("w", TENSORS["w"].astype(np.float64))
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_a_resource_error(tmp_path):
    with pytest.raises(ResourceError, match="cannot be written: No such file"):
        write_safetensors(tmp_path / "none" / "m.safetensors", TENSORS)


def test_what_a_killed_process_left_is_swept_and_a_living_one_s_kept(tmp_path):
    living = tmp_path / ".m.safetensors.1.tmp"
    living.touch()
    (tmp_path / ".m.safetensors.999999999.tmp").touch()
    write_safetensors(tmp_path / "m.safetensors", TENSORS)
    assert not (tmp_path / ".m.safetensors.999999999.tmp").exists()
    assert living.exists()
