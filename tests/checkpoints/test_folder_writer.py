"""A written folder reads back, is put in place whole, and never costs the user other files."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from mergecast.checkpoints import Checkpoint, TensorInfo
from mergecast.checkpoints.folder_writer import FolderWriter
from mergecast.errors import ResourceError, UsageError

TENSORS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "flag": np.array([True, False, True]),
    "scalar": np.array(1.25),
}
INFOS = [TensorInfo(name, array.shape, array.dtype) for name, array in TENSORS.items()]


def write_folder(folder, **options):
    with FolderWriter(folder, INFOS, **options).open() as writer:
        for name, array in TENSORS.items():
            writer.write(name, array)


def test_a_folder_is_sharded_with_an_index_and_keeps_side_files(tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"hidden": 3}')
    shards = {name: f"model-{1 + (name < 't')}.safetensors" for name in TENSORS}
    write_folder(tmp_path / "out", shards=shards, side_files=[config], record={"method": "x"})
    checkpoint = Checkpoint.open(tmp_path / "out")
    assert checkpoint.names == sorted(TENSORS)
    assert json.loads((tmp_path / "out" / "mergecast.json").read_text()) == {
        "method": "x",
        "files": sorted(file.name for file in (tmp_path / "out").iterdir()),
    }
    assert (tmp_path / "out" / "config.json").read_text() == '{"hidden": 3}'
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == dict(sorted(shards.items()))
    assert index["metadata"]["total_size"] == sum(a.nbytes for a in TENSORS.values())


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    out = tmp_path / "out"
    write_folder(out)
    (out / "stale").touch()
    with pytest.raises(RuntimeError), FolderWriter(out, INFOS, overwrite=True).open() as writer:
        writer.write("w", TENSORS["w"])
        raise RuntimeError("killed")
    assert (out / "stale").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    write_folder(out, overwrite=True)
    assert not (out / "stale").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_signal_at_the_moment_there_is_a_folder_leaves_nothing(tmp_path, monkeypatch):
    def made(path, *given, **options):
        make_folder(path, *given, **options)
        if path.name.startswith("."):
            raise KeyboardInterrupt

    make_folder = Path.mkdir
    monkeypatch.setattr(Path, "mkdir", made)
    infos = [TensorInfo("w", (3,), np.dtype("float32"))]
    with pytest.raises(KeyboardInterrupt), FolderWriter(tmp_path / "new", infos).open():
        pass
    assert not [*tmp_path.iterdir()]


def test_a_folder_of_someone_else_is_not_replaced_unasked(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").touch()
    with pytest.raises(UsageError, match=r"was not written by mergecast.*--overwrite"):
        write_folder(out)
    assert (out / "thesis.txt").exists()
    write_folder(out, overwrite=True)
    assert not (out / "thesis.txt").exists()


def test_a_folder_of_ours_with_other_files_is_not_replaced_unasked(tmp_path):
    out = tmp_path / "out"
    write_folder(out)
    (out / "notes.md").touch()
    with pytest.raises(UsageError, match=r"1 file.* does not list, first 'notes.md'.*--overwrite"):
        write_folder(out)
    assert (out / "notes.md").exists()
    write_folder(out, overwrite=True)
    assert not (out / "notes.md").exists()
    (out / "mergecast.json").write_text("{}")
    with pytest.raises(UsageError, match="does not list, first 'model.safetensors'"):
        write_folder(out)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("out", "given", "relation"),
    [
        ("base", "base", "is the input"),
        ("runs", "runs/a/model.safetensors", "contains the input"),
        ("base/merged", "base", "lies inside the input"),
        ("link", "base", "is the input"),
        ("base", "link", "is the input"),
        ("holder", "holder/link", "contains the input"),
        ("base/../runs", "runs/a", "contains the input"),
    ],
)
def test_an_input_is_never_written_over(out, given, relation, overwrite, tmp_path):
    for folder in ("base", "runs/a", "holder"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "base/model.safetensors").touch()
    (tmp_path / "runs/a/model.safetensors").touch()
    (tmp_path / "link").symlink_to(tmp_path / "base")
    (tmp_path / "holder/link").symlink_to(tmp_path / "base")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=relation):
        write_folder(tmp_path / out, inputs=[tmp_path / given], overwrite=overwrite)
    assert sorted(tmp_path.rglob("*")) == before
    write_folder(tmp_path / "apart", inputs=[tmp_path / given])


def test_a_file_is_not_a_folder_to_write_whatever_is_allowed(tmp_path):
    (tmp_path / "file").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="is a file"):
            write_folder(tmp_path / "file", overwrite=overwrite)
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(UsageError, match="out: cannot be made: .*file is a file"):
        write_folder(tmp_path / "file" / "out")


def test_a_sharded_base_with_one_file_of_output_gives_model_safetensors(tmp_path):
    write_folder(
        tmp_path / "out", shards=dict.fromkeys(TENSORS, "model-00001-of-00001.safetensors")
    )
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["mergecast.json", "model.safetensors"]


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    write_folder(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk" / "model.safetensors").is_file()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises((UsageError, ResourceError)):
        write_folder(tmp_path / "loop")


def test_the_current_directory_is_refused_and_nothing_is_left_behind(tmp_path, monkeypatch):
    here = tmp_path / "here" / "inner"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    for out in (".", "..", here):
        with pytest.raises(UsageError, match=r"(is|contains) the current directory"):
            write_folder(type(here)(out), overwrite=True)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "here", here]


def test_a_folder_that_cannot_be_replaced_stays_and_leaves_nothing_beside_it(tmp_path, monkeypatch):
    out = tmp_path / "out"
    write_folder(out)
    before = (out / "model.safetensors").read_bytes()
    rename = type(out).rename

    def failing(self, target):
        if self.name.endswith(".tmp"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(type(out), "rename", failing)
    with pytest.raises(ResourceError, match="No space left"):
        write_folder(out)
    assert (out / "model.safetensors").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_is_told_of_the_folder_asked_for(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    writer = FolderWriter(tmp_path / "out", INFOS)
    message = "out/model.safetensors: cannot be written"
    with pytest.raises(ResourceError, match=message) as caught, writer.open():
        pass
    assert ".tmp" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_swept_and_a_living_one_s_kept(tmp_path):
    dead, living = tmp_path / ".out.999999999.tmp", tmp_path / ".out.1.tmp"
    dead.mkdir()
    living.mkdir()
    write_folder(tmp_path / "out")
    assert not dead.exists()
    assert living.exists()


def test_a_tied_tensor_is_written_under_both_names_beside_each_other(tmp_path):
    shards = {"w": "m-1.safetensors", "flag": "m-2.safetensors", "scalar": "m-1.safetensors"}
    write_folder(tmp_path / "out", tied={"head.w": "w"}, shards=shards)
    checkpoint = Checkpoint.open(tmp_path / "out")
    np.testing.assert_array_equal(checkpoint.array("head.w"), TENSORS["w"])
    assert checkpoint.file_of("head.w") == checkpoint.file_of("w") == "m-1.safetensors"
