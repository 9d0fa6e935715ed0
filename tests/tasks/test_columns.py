"""Named columns on disk: the rows asked for, as tensors."""

from __future__ import annotations

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset, DatasetDict

from mergecast.errors import UsageError
from mergecast.tasks.columns import as_tensor, open_columns

TABLE = {"x": [[1, 2], [3], [4, 5, 6]], "label": [0, 1, 0], "text": ["a", "b", "c"]}


def test_parquet_npz_and_saved_datasets_give_the_rows_asked_for(tmp_path):
    pq.write_table(pa.table(TABLE), tmp_path / "t.parquet")
    np.savez(tmp_path / "t.npz", label=np.array([0, 1, 0]))
    splits = tmp_path / "splits"
    saved = Dataset.from_dict(TABLE)
    DatasetDict(train=saved).save_to_disk(splits)
    # Rows kept by indices, as a shuffled or filtered dataset keeps them.
    saved.select([2, 1, 0]).select([2, 1, 0]).save_to_disk(tmp_path / "indexed")
    rows = np.array([2, 1])
    for path, split in (
        (tmp_path / "t.parquet", None),
        (tmp_path / "t.npz", None),
        (splits, "train"),
        (splits / "train", None),
        (tmp_path / "indexed", None),
    ):
        columns = open_columns(path, split)
        assert columns.rows == 3
        assert list(columns.read("label", rows)) == [0, 1]
        with pytest.raises(UsageError, match="column 'labl': unknown; did you mean 'label'"):
            columns.read("labl", rows)
    with pytest.raises(UsageError, match="split 'test': unknown; known: train"):
        open_columns(splits, "test")


def test_text_files_of_records_are_read_as_people_write_them(tmp_path):
    # Line breaks and commas within a cell, a byte order mark, names of classes.
    text = '\ufefflabel,text\nspam,"one, two\nthree"\nham,\nham,five\n'
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    (tmp_path / "t.TSV").write_text("label\ttext\nspam\ta, b\n", encoding="utf-8")
    columns = open_columns(tmp_path / "t.csv")
    assert columns.names == ("label", "text")
    assert columns.read("text", np.array([0, 1])) == ["one, two\nthree", ""]
    assert open_columns(tmp_path / "t.TSV").read("text", np.array([0])) == ["a, b"]
    chat = [{"role": "user", "content": "x" * 2_000_000}, {"role": "assistant", "content": "y"}]
    records = [{"messages": chat, "score": 0.5}, {"messages": chat[:1], "score": 1}]
    lines = "\n".join(map(json.dumps, records))
    (tmp_path / "t.jsonl").write_text(lines)
    (tmp_path / "lines.json").write_text(lines)
    (tmp_path / "list.json").write_text("\n " + json.dumps(records))
    for name in ("t.jsonl", "lines.json", "list.json"):
        columns = open_columns(tmp_path / name)
        assert columns.rows == 2
        assert columns.read("messages", np.array([1, 0])) == [chat[:1], chat]
        assert columns.read("score", np.array([1, 0])) == [1.0, 0.5]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", ""),
        ("ragged.csv", "a,b\n1,2,3\n"),
        ("cut.jsonl", '{"a": 1}\n{"a": '),
        ("numbers.json", "[1, 2]"),
        ("cut.json", '[{"a": 1}, '),
        ("cut-list.json", "[{]"),
    ],
)
def test_a_damaged_text_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=rf"{name}: cannot be read"):
        open_columns(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "a;b\n1;2\n"),
        ("t.tsv", "a,b\n1,2\n"),
        ("t.csv", "\ufeffa;b\nwell, so;2\n"),
        ("t.csv", "a\tb\nwell, so\t2\n"),
    ],
)
def test_other_separators_are_named(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=r"one column, 'a.+b': it seems to be separated by"):
        open_columns(tmp_path / name)
    (tmp_path / name).write_text("text\nhello; you | there\n")
    assert open_columns(tmp_path / name).names == ("text",)


def test_unreadable_sources_are_named(tmp_path):
    for name, message in (("none.npz", "does not exist"), ("x.xlsx", "ends in '.xlsx'")):
        (tmp_path / "x.xlsx").write_text("")
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
    Dataset.from_dict(TABLE).save_to_disk(tmp_path / "saved")
    with pytest.raises(UsageError, match="saved: has no splits, asked for 'train'"):
        open_columns(tmp_path / "saved", "train")
    (tmp_path / "saved" / "state.json").write_text("{")
    with pytest.raises(UsageError, match="saved: cannot be read"):
        open_columns(tmp_path / "saved")


def test_a_saved_dataset_needs_the_package_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"package datasets reads.*pip install mergecast\[hf\]"):
        open_columns(tmp_path)


def test_columns_become_tensors():
    values, mask = as_tensor("x", TABLE["x"])
    assert values.tolist() == [[1, 2, 0], [3, 0, 0], [4, 5, 6]]
    assert mask.sum(1).tolist() == [2, 1, 3]
    assert as_tensor("x", TABLE["x"], -100)[0][1].tolist() == [3, -100, -100]
    assert as_tensor("x", np.ones((2, 3)))[0].dtype == torch.float32
    assert as_tensor("x", np.ones((2, 3), np.uint8))[0].dtype == torch.int64
    with pytest.raises(UsageError, match="column 't': holds .* values such as 'a'"):
        as_tensor("t", TABLE["text"])
    with pytest.raises(UsageError, match="rows of different shapes"):
        as_tensor("x", [[[1], [1, 2]], [[1], [1]]])


def test_a_table_in_utf_16_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\na,1\n", encoding="utf-16")
    with pytest.raises(UsageError, match=r"t.csv: is written in UTF-16; write it in UTF-8"):
        open_columns(tmp_path / "t.csv")


def test_rows_without_a_value_are_counted():
    with pytest.raises(UsageError, match="column 'label': has no value in 1 of 3 rows; fill"):
        as_tensor("label", [0, None, 1])
