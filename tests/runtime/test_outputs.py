"""Outputs that cannot be written: named, with a remedy, and nothing left behind."""

from __future__ import annotations

import errno

import pytest

from mergecast.errors import UsageError
from mergecast.runtime import outputs
from mergecast.runtime.outputs import check_file, check_folder


def tree(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def test_what_can_be_written_passes_and_nothing_is_made(tmp_path):
    (tmp_path / "there.txt").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path)
    before = tree(tmp_path)
    for path in (tmp_path / "new.txt", tmp_path / "there.txt", tmp_path / "a/b/new.txt",
                 tmp_path / "link/new.txt"):  # fmt: skip
        check_file(path)
    for path in (tmp_path, tmp_path / "new", tmp_path / "a/b/new", tmp_path / "link"):
        check_folder(path)
    assert tree(tmp_path) == before
    assert (tmp_path / "there.txt").read_text() == "old"


def test_what_cannot_be_is_named_with_what_stands_in_the_way(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    before = tree(tmp_path)
    file, beneath = tmp_path / "file", tmp_path / "file/sub/out"
    for check, path, said in (
        (check_file, tmp_path, f"{tmp_path}: is a folder; give the name of a file"),
        (check_folder, file, f"{file}: is a file; give a folder"),
        (check_file, beneath, f"{beneath}: cannot be made: {file} is a file; choose another"),
        (check_folder, beneath, f"{beneath}: cannot be made: {file} is a file; choose another"),
        (check_folder, tmp_path / "nowhere/out", "nowhere is a link to nothing"),
        (check_file, tmp_path / ("x" * 300), "cannot be written: File name too long"),
    ):
        with pytest.raises(UsageError) as caught:
            check(path)
        assert said in str(caught.value)
        assert caught.value.exit_code == 2
    assert tree(tmp_path) == before


def test_a_folder_that_takes_no_file_is_refused_whoever_asks(tmp_path, monkeypatch):
    asked = []

    def closed(dir):
        asked.append(dir)
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(outputs, "TemporaryFile", closed)
    said = f"a/b.txt: cannot be written: {tmp_path}: Read-only file system; choose a place"
    with pytest.raises(UsageError, match=said):
        check_file(tmp_path / "a/b.txt")
    with pytest.raises(UsageError, match="Read-only file system"):
        check_folder(tmp_path)
    assert asked == [tmp_path, tmp_path]
