import json
import logging

import pytest

from mergecast.errors import ResourceError
from mergecast.runtime.store import Store, canonical_json, file_digest

SPEC = {"stage": "outcome", "members": ["a", "b"], "rate": 0.1}


def test_a_unit_is_found_by_what_was_asked_not_by_the_order_of_keys(tmp_path):
    store = Store(tmp_path)
    assert store.get(SPEC) is None
    store.put(SPEC, {"score": 0.125})
    assert Store(tmp_path).get(dict(reversed(SPEC.items()))) == {"score": 0.125}
    assert store.get({**SPEC, "rate": 0.2}) is None


def test_floats_come_back_exactly(tmp_path):
    store = Store(tmp_path)
    store.put(SPEC, {"score": 0.1 + 0.2})
    assert store.get(SPEC) == {"score": 0.1 + 0.2}


def test_a_failure_cannot_be_stored_as_a_number(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        Store(tmp_path).put(SPEC, {"score": float("nan")})
    assert Store(tmp_path).get(SPEC) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("0.125", "0.225"),
        lambda text: "",
        lambda text: "[1, 2]",
    ],
    ids=["truncated", "changed", "emptied", "replaced"],
)
def test_a_damaged_record_counts_as_not_done_and_the_user_is_told(tmp_path, caplog, damage):
    store = Store(tmp_path)
    store.put(SPEC, {"score": 0.125})
    [record] = (tmp_path / "units").iterdir()
    record.write_text(damage(record.read_text()))
    with caplog.at_level(logging.WARNING):
        assert store.get(SPEC) is None
    assert "the unit is computed again" in caplog.text
    assert record.name in caplog.text


def test_a_record_that_is_not_text_counts_as_not_done(tmp_path, caplog):
    store = Store(tmp_path)
    store.put(SPEC, {})
    [record] = (tmp_path / "units").iterdir()
    record.write_bytes(b"\xff\xfe\x00")
    assert store.get(SPEC) is None
    assert "the unit is computed again" in caplog.text


def test_a_unit_may_own_a_file_whose_digest_is_part_of_the_result(tmp_path):
    store = Store(tmp_path)
    store.put_file(SPEC, "models/a.bin", lambda path: path.write_bytes(b"weights"), {})
    assert (tmp_path / "models/a.bin").read_bytes() == b"weights"
    assert store.get(SPEC) == {"sha256": file_digest(tmp_path / "models/a.bin")}


@pytest.mark.parametrize("content", [b"weight", None], ids=["truncated", "missing"])
def test_a_unit_with_a_damaged_file_counts_as_not_done(tmp_path, caplog, content):
    store = Store(tmp_path)
    store.put_file(SPEC, "a.bin", lambda path: path.write_bytes(b"weights"), {})
    (tmp_path / "a.bin").unlink()
    if content is not None:
        (tmp_path / "a.bin").write_bytes(content)
    assert store.get(SPEC) is None
    assert "a.bin" in caplog.text


def test_clean_removes_what_a_killed_process_left(tmp_path):
    store = Store(tmp_path)
    store.put_file(SPEC, "models/a.bin", lambda path: path.write_bytes(b"weights"), {})
    (tmp_path / "models" / ".a.77.unfinished.bin").write_text("left by a killed process")
    store.clean()
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["a.bin"]


def test_a_folder_that_cannot_be_written_is_a_resource_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        Store(tmp_path / "file").put(SPEC, {})


def test_canonical_json_is_json():
    assert json.loads(canonical_json({"b": [1, "é"], "a": None})) == {"a": None, "b": [1, "é"]}
    assert canonical_json({"b": 1, "a": 2}) == '{"a":2,"b":1}'
