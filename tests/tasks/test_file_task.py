"""A task of a file: its samples, its head, its errors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from task_files import GOOD, write

from mergecast.errors import CheckpointError, UsageError
from mergecast.tasks import models
from mergecast.tasks.load import load_tasks


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
