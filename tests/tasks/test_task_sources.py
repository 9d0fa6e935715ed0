"""Reading samples, building models, and what is said of files that are wrong."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mergecast.errors import CheckpointError, UsageError
from mergecast.tasks import models
from mergecast.tasks.columns import as_tensor, open_columns
from mergecast.tasks.tasks_file import load_tasks

TABLE = {"x": [[1, 2], [3], [4, 5, 6]], "label": [0, 1, 0], "text": ["a", "b", "c"]}


def saved_dataset(folder):
    """A folder as datasets' save_to_disk writes it: Arrow streams and a state file."""
    folder.mkdir()
    table = pa.table(TABLE)
    names = []
    for k, part in enumerate((table.slice(0, 2), table.slice(2))):
        names.append({"filename": f"data-{k:05d}-of-00002.arrow"})
        path = str(folder / names[-1]["filename"])
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(part)
    (folder / "state.json").write_text(json.dumps({"_data_files": names}))
    return folder


def test_parquet_npz_and_saved_datasets_give_the_rows_asked_for(tmp_path):
    pq.write_table(pa.table(TABLE), tmp_path / "t.parquet")
    np.savez(tmp_path / "t.npz", label=np.array([0, 1, 0]))
    splits = tmp_path / "splits"
    splits.mkdir()
    (splits / "dataset_dict.json").write_text('{"splits": ["train"]}')
    saved_dataset(splits / "train")
    rows = np.array([2, 1])
    for path, split in (
        (tmp_path / "t.parquet", None),
        (tmp_path / "t.npz", None),
        (splits, "train"),
        (splits / "train", None),
    ):
        columns = open_columns(path, split)
        assert columns.rows == 3
        assert list(columns.read("label", rows)) == [0, 1]
        with pytest.raises(UsageError, match="column 'labl': unknown; did you mean 'label'"):
            columns.read("labl", rows)
    with pytest.raises(UsageError, match="split 'test': unknown; known: train"):
        open_columns(splits, "test")


def test_unreadable_sources_are_named(tmp_path):
    for name, message in (("none.npz", "does not exist"), ("x.csv", "ends in '.csv'")):
        (tmp_path / "x.csv").write_text("")
        with pytest.raises(UsageError, match=message):
            open_columns(tmp_path / name)
    (tmp_path / "broken.parquet").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="cannot be read"):
        open_columns(tmp_path / "broken.parquet")
    np.savez(tmp_path / "o.npz", x=np.array([{}], dtype=object))
    with pytest.raises(UsageError, match="cannot be read: Object arrays"):
        open_columns(tmp_path / "o.npz")
    np.savez(tmp_path / "r.npz", x=np.ones(2), y=np.ones(3))
    with pytest.raises(UsageError, match="give one row a sample"):
        open_columns(tmp_path / "r.npz")
    with pytest.raises(UsageError, match="is no saved dataset"):
        open_columns(tmp_path)
    with pytest.raises(UsageError, match="has no splits, asked for 'train'"):
        open_columns(tmp_path / "r.npz", "train")
    indexed = saved_dataset(tmp_path / "indexed")
    state = json.loads((indexed / "state.json").read_text())
    (indexed / "state.json").write_text(json.dumps({**state, "_indices_files": ["i"]}))
    with pytest.raises(UsageError, match="call flatten_indices"):
        open_columns(indexed)


def test_columns_become_tensors():
    values, mask = as_tensor("x", TABLE["x"])
    assert values.tolist() == [[1, 2, 0], [3, 0, 0], [4, 5, 6]]
    assert mask.sum(1).tolist() == [2, 1, 3]
    assert as_tensor("x", TABLE["x"], -100)[0][1].tolist() == [3, -100, -100]
    assert as_tensor("x", np.ones((2, 3)))[0].dtype == torch.float32
    assert as_tensor("x", np.ones((2, 3), np.uint8))[0].dtype == torch.int64
    with pytest.raises(UsageError, match="column 't': holds .* values, first 'a'"):
        as_tensor("t", TABLE["text"])
    with pytest.raises(UsageError, match="rows of different shapes"):
        as_tensor("x", [[[1], [1, 2]], [[1], [1]]])


def write(folder, text):
    path = folder / "tasks.yaml"
    path.write_text(text, encoding="utf-8")
    return path


GOOD = """\
defaults:
  model: {build: "probe_families:build_cnn"}
tasks:
  a:
    data:
      file: t.npz
      inputs: [input]
      labels: label
"""


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
        ("    data:", "    loss: regression\n    data:", "line 5: tasks.a.loss: .*'regression'"),
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


def test_a_task_names_its_sources_in_errors(tmp_path):
    task = load_tasks(write(tmp_path, GOOD))["a"]
    with pytest.raises(UsageError, match=r"task 'a': .*t.npz: does not exist"):
        task.samples(3, 0)
    np.savez(tmp_path / "t.npz", input=np.ones((4, 1, 8, 8)), label=np.array([0.5, 1, 0, 1]))
    with pytest.raises(UsageError, match="task 'a': labels are float32 of shape"):
        task.samples(3, 0)
    with pytest.raises(UsageError, match="task 'a': asked for 5 calibration samples of 4"):
        task.samples(5, 0)
    with pytest.raises(UsageError, match="task 'a': split 'test': unknown; known: calibration"):
        task.samples(1, 0, "test")
    assert task.build()[0].out_channels == 4


def test_text_is_tokenised_by_the_models_own_tokenizer(tmp_path):
    from transformers import BertConfig, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
    (tmp_path / "base").mkdir()
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "base")
    BertConfig(vocab_size=8).save_pretrained(tmp_path / "base")
    text = ["good film", "bad", "good good good film"]
    pq.write_table(pa.table({"text": text, "y": [1, 0, 1]}), tmp_path / "t.parquet")
    file = write(
        tmp_path,
        """\
defaults: {model: {folder: base, auto: AutoModelForSequenceClassification}}
tasks:
  a: {data: {file: t.parquet, text: text, labels: y, max_length: 5}}
  b: {data: {file: t.parquet, text: y, labels: y}}
  c: {data: {file: t.parquet, text: text, labels: y, tokenizer: none}}
  d: {data: {file: t.parquet, inputs: [text], labels: y}}
  e: {loss: next_token, data: {file: t.parquet, inputs: {x: y}}}
""",
    )
    tasks = load_tasks(file)
    samples = tasks["a"].samples(3, 0)
    assert samples.inputs["input_ids"].shape == (3, 5)
    assert int(samples.inputs["attention_mask"].sum()) == 4 + 3 + 5
    for label, message in {
        "b": "column 'y': does not hold text",
        "c": "tokenizer .*none",
        "d": "column 'text': holds",
        "e": "has no input_ids to take next tokens from",
    }.items():
        with pytest.raises(UsageError, match=message):
            tasks[label].samples(2, 0)


def test_models_that_do_not_build_are_named(tmp_path):
    with pytest.raises(UsageError, match="transformers class 'AutoModelForCls': unknown"):
        models.from_config(tmp_path, "AutoModelForCls")
    with pytest.raises(UsageError, match="holds no config.json"):
        models.from_config(tmp_path, "AutoModel")
    (tmp_path / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(UsageError, match="does not build as AutoModel: "):
        models.from_config(tmp_path, "AutoModel")
    for reference, message in {
        "probe_families": "is not module:function",
        "no_such_module:f": "cannot be imported",
        "probe_families:build_cn": "function of probe_families 'build_cn': unknown; did you mean",
        "probe_families:build_cnn": "failed: TypeError",
        "probe_families:seeded": "returned str, not|returned str",
    }.items():
        arguments = {"build": str} if reference.endswith("seeded") else {"x": 1}
        with pytest.raises(UsageError, match=message):
            models.build_by_function(reference, arguments)


def test_code_in_a_checkpoint_folder_is_never_run(tmp_path):
    (tmp_path / "modeling_evil.py").write_text("raise SystemExit('ran')\n")
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "modeling_evil.C"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="code in a checkpoint folder is never run"):
        models.from_config(tmp_path, "AutoModel")


def test_heads_beside_the_checkpoints(tmp_path, probe_family):
    built = probe_family("clip")
    task = built.tasks["second"]
    assert task.private == ("head.weight", "head.bias")
    assert task.head()["head.weight"].shape == (3, 8)
    assert (task.head()["head.bias"] == 0).all()
    with pytest.raises(UsageError, match="the model has a part of this name"):
        models.with_linear_head(task.build(), torch.ones(2, 8), normalize=False)
    module = models.with_linear_head(torch.nn.Linear(3, 4), torch.ones(2, 4), normalize=False)
    assert module(torch.ones(5, 3)).shape == (5, 2)


def test_a_function_may_give_the_samples(probe_family):
    task = probe_family("cnn").tasks["third"]
    assert task.samples(14, 0).inputs["input"].shape == (14, 1, 8, 8)
    task.spec.data.args["rows"] = 2
    with pytest.raises(UsageError, match="asked for 3 calibration samples of 2"):
        task.samples(3, 0)
    broken = task.spec.model_copy(
        update={
            "data": task.spec.data.model_copy(
                update={"call": "probe_families:build_cnn", "args": {}}
            )
        }
    )
    task.spec = broken
    with pytest.raises(UsageError, match="returned Sequential; return .inputs by name"):
        task.samples(3, 0)


def test_a_damaged_head_file_is_named(tmp_path):
    (tmp_path / "h.safetensors").write_bytes(b"x")
    text = GOOD.replace("    data:", "    head: {weights: h.safetensors}\n    data:")
    with pytest.raises(CheckpointError, match=r"h\.safetensors"):
        load_tasks(write(tmp_path, text))["a"].head()
