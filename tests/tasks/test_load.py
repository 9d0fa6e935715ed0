"""What is said of files of tasks that are wrong: line and field."""

from __future__ import annotations

import pytest
from task_files import GOOD, write

from mergecast.errors import UsageError
from mergecast.tasks.load import load_tasks


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("labels: label", "label: label", "line 8: tasks.a.data.label: Extra inputs"),
        ("file: t.npz", "file: t.npz\n      call: m:f", "line 5: tasks.a.data: give either file"),
        ("inputs: [input]", "inputs: 3", "line 7: tasks.a.data.inputs: .*got 3"),
        ("      inputs: [input]\n", "", "line 5: tasks.a.data: give either inputs or text"),
        ("model: {build", "model: {bild", "line 2: tasks.a.model.bild: Extra"),
        ("{build: ", "{folder: base, x: ", "line 2: tasks.a.model.x"),
        ('{build: "probe_families:build_cnn"}', "{folder: base}", "line 2: .*: auto is missing"),
        ("    data:", "    loss: hinge\n    data:", "line 5: tasks.a.loss: .*'hinge'"),
        ("tasks:\n  a:", "tasks:\n  a: 1\n  b:", "line 4: tasks.a"),
        ("tasks:", "task:", "line 3: task: Extra|tasks: Field required"),
        ("defaults:\n  model", "defaults: 3\nx:\n  model", "line 1: defaults: is not a mapping"),
        ("      labels: label", "      labels: a\n      labels: b", "line 9: 'labels' is given tw"),
        ("inputs: [input]", "inputs: [input", "line 8: "),
    ],
)
def test_a_wrong_file_gets_line_and_field(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(UsageError, match=message):
        load_tasks(write(tmp_path, GOOD.replace(old, new)))


def test_what_is_no_file_of_tasks(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load_tasks(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="line 1: is not a mapping"):
        load_tasks(write(tmp_path, "- a"))
