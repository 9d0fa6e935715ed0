import json

import pytest
import report_case as case

from mergecast.errors import TableError, UsageError
from mergecast.report.inputs import read_inputs


@pytest.fixture
def folder(tmp_path):
    case.pair_table().write(tmp_path / "pairs.parquet")
    case.outcome_table().write(tmp_path / "outcomes.parquet")
    return tmp_path


def test_tasks_and_suite_file_may_be_absent(folder):
    inputs = read_inputs(folder)
    assert inputs.tasks is None
    assert inputs.suite == {}
    assert len(inputs.pairs) == 3


def test_tasks_and_suite_file_are_read(folder):
    case.inputs().tasks.to_parquet(folder / "tasks.parquet")
    (folder / "suite.json").write_text(json.dumps({"seed": 3}))
    inputs = read_inputs(folder)
    assert list(inputs.tasks["task"]) == ["a", "b", "c"]
    assert inputs.suite["seed"] == 3


@pytest.mark.parametrize("text", ["{", "[1]", "\udcff"])
def test_a_broken_suite_file_is_named(folder, text):
    (folder / "suite.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=r"suite\.json"):
        read_inputs(folder)


def test_a_broken_task_table_is_named(folder):
    (folder / "tasks.parquet").write_bytes(b"no table")
    with pytest.raises(TableError, match=r"tasks\.parquet: not a Parquet file"):
        read_inputs(folder)
    case.inputs().tasks.drop(columns="majority").to_parquet(folder / "tasks.parquet")
    with pytest.raises(TableError, match=r"tasks\.parquet: tasks table, column 'majority'"):
        read_inputs(folder)
