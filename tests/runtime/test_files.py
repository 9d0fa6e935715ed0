import json
import os

import pytest

from mergecast.errors import ResourceError
from mergecast.runtime.files import write_atomically, write_json, write_text


def test_text_and_json_come_back_and_missing_folders_are_made(tmp_path):
    path = write_text(tmp_path / "new" / "a.txt", "é\n")
    assert path.read_text(encoding="utf-8") == "é\n"
    value = {"name": "é", "numbers": [1, 2.5, None]}
    assert json.loads(write_json(tmp_path / "a.json", value).read_text(encoding="utf-8")) == value
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "new"]


def test_what_is_no_json_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_write_leaves_the_old_content_and_nothing_else(tmp_path, error):
    target = tmp_path / "table.csv"
    target.write_text("old")

    def fail(path):
        path.write_text("half")
        raise error

    with pytest.raises(error):
        write_atomically(target, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert target.read_text() == "old"


def test_a_full_disk_is_a_resource_error_that_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(ResourceError, match=r"a\.txt: cannot be written: disk full; check free"):
        write_text(tmp_path / "a.txt", "new")
    assert list(tmp_path.iterdir()) == []


def test_the_suffix_is_kept_while_writing_for_those_who_go_by_it(tmp_path):
    seen = []
    write_atomically(tmp_path / "a.npy", lambda path: (seen.append(path), path.touch()))
    assert seen[0].suffix == ".npy"
    assert seen[0].parent == tmp_path


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "plain").touch()
    written = write_text(tmp_path / "written", "")
    assert written.stat().st_mode == (tmp_path / "plain").stat().st_mode
