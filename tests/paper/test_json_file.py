import json
import math

import pytest

from mergecast.errors import ResourceError, TableError
from mergecast.paper.json_file import Finite, Number, Strict, checked, read_json


class Row(Strict):
    name: str
    values: list[list[Number]]


def refusal(kind, value):
    with pytest.raises(TableError) as caught:
        checked(kind, value, "file.json")
    return str(caught.value)


def test_numbers_are_floats_and_what_is_not_finite_is_missing():
    values = checked(list[Number], [1, 2.5, None, math.inf, math.nan], "file.json")
    assert values[:2] == [1.0, 2.5]
    assert all(map(math.isnan, values[2:]))


@pytest.mark.parametrize("value", ["1", True, [1], {}, 10**400])
def test_nothing_else_is_a_number(value):
    assert refusal(Number, value).startswith("file.json: expected a number or null, found ")


def test_a_coefficient_must_be_there():
    assert "expected a finite number" in refusal(dict[str, Finite], {"cosine": None})


def test_errors_name_place_value_and_remedy():
    rows = [{"name": "a", "values": [[1.0]]}, {"name": "b", "values": [[1.0, "x"]]}]
    assert refusal(list[Row], rows) == (
        "file.json: row 1, key 'values', row 0, column 1: expected a number or null, found 'x'; "
        "copy the file again"
    )
    assert refusal(Row, {"name": "a"}) == "file.json: key 'values': missing; found: 'name'"
    assert refusal(Row, {"name": 3, "values": []}) == (
        "file.json: key 'name': expected a valid string, found 3; copy the file again"
    )
    assert len(refusal(Row, {"name": "x" * 500, "values": "y" * 500})) < 150


def test_a_key_that_stands_twice_is_refused_at_any_depth(tmp_path):
    path = tmp_path / "file.json"
    path.write_text('{"a": {"b": 1, "b": 2}}')
    with pytest.raises(TableError, match=r"file.json: key 'b': stands twice in one object; keep"):
        read_json(path, dict[str, dict[str, int]])


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(TableError, match="no such file; copy the whole results folder"):
        read_json(tmp_path / "absent.json", dict)
    with pytest.raises(ResourceError, match="cannot be read"):
        read_json(tmp_path, dict)
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    with pytest.raises(TableError, match="not valid JSON"):
        read_json(deep, list)


def test_content_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"name": "ü", "values": [[1, None]], "more": 1}))
    row = read_json(path, Row)
    assert row.name == "ü"
    assert row.values[0][0] == 1.0
