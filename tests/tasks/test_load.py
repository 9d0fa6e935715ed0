"""What is said of files of tasks that are wrong: line and field."""

from __future__ import annotations

import pytest
from task_files import GOOD, write

from mergecast.errors import UsageError
from mergecast.tasks.load import load_tasks


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("labels: label", "label: label", "line 8: tasks.a.data.label: no field is called so here"),
        ("file: t.npz", "file: t.npz\n      call: m:f", "line 5: tasks.a.data: give either file"),
        ("inputs: [input]", "inputs: 3", "line 7: tasks.a.data.inputs: .*got 3"),
        ("      inputs: [input]\n", "", "line 5: tasks.a.data: give either inputs or text"),
        ("model: {build", "model: {bild", "line 2: tasks.a.model.bild: no field is called so"),
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


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("t.npz", "TODO", "line 6: tasks.a.data.file: is still TODO; give a .parquet"),
        ("label\n", "TODO\n", "line 8: tasks.a.data.labels: is still TODO; name the column"),
        ("[input]", "{input: TODO}", "line 7: .*inputs.input: is still TODO; name the column that"),
        ("[input]", "[TODO column]", "line 7: tasks.a.data.inputs: is still TODO"),
        (
            "a:",
            "a:\n    loss: TODO\n    private: [TODO]",
            r"line 5: .*loss: .* \(and 1 more\); fill",
        ),
    ],
)
def test_what_is_still_to_be_filled_in_is_named(tmp_path, old, new, message):
    with pytest.raises(UsageError, match=message):
        load_tasks(write(tmp_path, GOOD.replace(old, new, 1)))


INHERITED = """\
defaults:
  model: {folder: base, auto: AutoModel}
  data: {text: words, labels: y, max_length: 9}
tasks:
  a: {data: {file: a.npz}, test: {file: a-test.npz}}
  b: {model: {folder: b}, data: {file: b.npz, labels: z}, test: {labels: w}}
  c: {model: {build: "m:f"}, data: {file: c.npz, inputs: [x]}}
  d: {data: {call: "m:g"}, test: {call: "m:h"}}
"""


def test_a_section_takes_the_fields_that_it_does_not_set(tmp_path):
    specs = {label: task.spec for label, task in load_tasks(write(tmp_path, INHERITED)).items()}
    a, b, c, d = (specs[label] for label in "abcd")
    assert (a.data.text, a.data.labels, a.data.max_length) == ("words", "y", 9)
    assert (str(a.test.file), a.test.text, a.test.labels) == ("a-test.npz", "words", "y")
    assert (str(b.model.folder), b.model.auto) == ("b", "AutoModel")
    assert (b.data.labels, str(b.test.file), b.test.labels) == ("z", "b.npz", "w")
    assert (c.model.build, c.model.folder, c.model.auto) == ("m:f", None, None)
    assert (c.data.inputs, c.data.text, c.data.labels) == ({"x": "x"}, None, "y")
    assert (d.data.call, d.data.labels, d.test.call) == ("m:g", None, "m:h")
