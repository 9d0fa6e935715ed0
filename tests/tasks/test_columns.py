"""Named columns on disk: the rows asked for, as tensors."""

from __future__ import annotations

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
