"""Samples that are the same: by file, and by content in texts, pictures, arrays and prompts."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from test_kinds import SMALL, write_tokenizer

from mergecast.errors import UsageError
from mergecast.tasks.apart import kept, one_source, refuse_one_source, shared
from mergecast.tasks.load import load_tasks
from mergecast.tasks.task import Samples
from mergecast.tasks.trial import try_task

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
Image = pytest.importorskip("PIL.Image", reason="needs the hf extra")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves


def task_of(folder, model, data, test, **fields):
    spec = {"model": model, "data": data, "test": test, **fields}
    (folder / "t.yaml").write_text(yaml.safe_dump({"tasks": {"a": spec}}))
    return load_tasks(folder / "t.yaml")["a"]


def found(task):
    """Which test samples, in their own order, are among the task's other samples."""
    return shared([task.samples(None, 0)], task.samples(None, 0, "test")).tolist()


BUILT = {"build": "mergecast.testing.tiny:Net"}
ARRAYS = {"inputs": {"x": "x"}, "labels": "y"}


def arrays(folder, name, rows, labels):
    np.savez(folder / name, x=np.asarray(rows, dtype=np.float32), y=np.asarray(labels))


def test_arrays_are_the_same_by_value_and_label(tmp_path):
    rows = np.random.default_rng(0).normal(size=(6, 5))
    arrays(tmp_path, "data.npz", rows[:4], [0, 1, 2, 0])
    arrays(tmp_path, "test.npz", [rows[5], rows[1], rows[0], rows[3]], [0, 1, 1, 0])
    data = {"file": "data.npz", **ARRAYS}
    task = task_of(tmp_path, BUILT, data, {"file": "test.npz"})
    # The third has another label.
    assert found(task) == [False, True, False, True]
    # Where one side has none, the input alone tells.
    test = task.samples(None, 0, "test")
    assert shared([task.samples(None, 0)], Samples(test.inputs, None, test.ids)).tolist() == [
        False, True, True, True,
    ]  # fmt: skip


def test_texts_are_the_same_whatever_they_are_padded_to(tmp_path):
    config = transformers.BertConfig(num_labels=3, **SMALL)
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "base")
    write_tokenizer(tmp_path / "base")
    texts = ["w1 w2", "w3", "w4 w5 w6 w7 w8"]
    pd.DataFrame({"s": texts, "y": [0, 1, 2]}).to_json(
        tmp_path / "d.jsonl", orient="records", lines=True
    )
    pd.DataFrame({"s": ["w1 w2", "w3 w3", "w3", "w1"], "y": [0, 1, 1, 0]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    model = {"folder": "base", "auto": "AutoModelForSequenceClassification"}
    data = {"file": "d.jsonl", "text": "s", "labels": "y"}
    task = task_of(tmp_path, model, data, {"file": "t.csv"})
    widths = [
        task.samples(None, 0, x).inputs["input_ids"].shape[1] for x in ("calibration", "test")
    ]
    assert widths[0] != widths[1]
    assert found(task) == [True, False, True, False]


@pytest.mark.parametrize("completion", [True, False])
def test_prompts_are_the_same_with_their_answers(tmp_path, completion):
    config = transformers.LlamaConfig(num_key_value_heads=2, **SMALL)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    write_tokenizer(tmp_path / "base", special=False)
    data = {"ask": ["w1 w2 ", "w3 ", "w5 w6 w7 "], "answer": ["w4", "w4", "w8 w9 w1"]}
    test = {"ask": ["w3 ", "w1 w2 ", "w3 "], "answer": ["w5", "w4", "w4"]}
    for name, rows in (("d.jsonl", data), ("t.jsonl", test)):
        frame = pd.DataFrame(rows).assign(whole=lambda rows: rows["ask"] + rows["answer"])
        frame.to_json(tmp_path / name, orient="records", lines=True)
    columns = {"text": "ask", "completion": "answer"} if completion else {"text": "whole"}
    model = {"folder": "base", "auto": "AutoModelForCausalLM"}
    task = task_of(tmp_path, model, {"file": "d.jsonl", **columns}, {"file": "t.jsonl"})
    assert found(task) == [False, True, True]


def test_target_texts_are_labels_of_any_width(tmp_path):
    config = transformers.T5Config(
        d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=40
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path / "base")
    write_tokenizer(tmp_path / "base")
    pd.DataFrame({"s": ["w1", "w2"], "y": ["w3", "w4 w5 w6 w7"]}).to_parquet(tmp_path / "d.parquet")
    pd.DataFrame({"s": ["w2", "w1"], "y": ["w4", "w3"]}).to_parquet(tmp_path / "t.parquet")
    model = {"folder": "base", "auto": "AutoModelForSeq2SeqLM"}
    data = {"file": "d.parquet", "text": "s", "labels": "y"}
    assert found(task_of(tmp_path, model, data, {"file": "t.parquet"})) == [False, True]


def test_pictures_are_the_same_under_other_names_in_another_folder(tmp_path):
    base = tmp_path / "base"
    transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=8, patch_size=4,
    ).save_pretrained(base)  # fmt: skip
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 8}}
    (base / "preprocessor_config.json").write_text(json.dumps(settings))
    draw = np.random.default_rng(0)
    for folder in ("train", "val"):
        (tmp_path / folder).mkdir()
        for name in "abc":
            pixels = draw.integers(0, 255, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    shutil.copy(tmp_path / "train/c.png", tmp_path / "val/a.png")
    for folder in ("train", "val"):
        paths = [f"{folder}/{name}.png" for name in "abc"]
        labels = [1, 0, 1]
        pd.DataFrame({"image": paths, "y": labels}).to_csv(tmp_path / f"{folder}.csv", index=False)
    model = {"folder": "base", "auto": "AutoModelForImageClassification"}
    data = {"file": "train.csv", "inputs": {"pixel_values": "image"}, "labels": "y"}
    assert found(task_of(tmp_path, model, data, {"file": "val.csv"})) == [True, False, False]


def test_masked_ends_do_not_count_and_what_is_left_is_in_order():
    one = Samples({"x": torch.tensor([[1, 2, 0], [1, 0, 2]])}, torch.tensor([0, 1]), ("a", "b"))
    two = Samples({"x": torch.tensor([[1, 2], [2, 1]])}, torch.tensor([0, 0]), ("c", "d"))
    same = shared([one], two)
    assert same.tolist() == [True, False]
    rest = kept(two, ~same)
    assert rest.ids == ("d",)
    assert rest.inputs["x"].tolist() == [[2, 1]]
    assert shared([], two).tolist() == [False, False]


def test_the_same_file_is_refused_by_any_path_and_as_a_copy(tmp_path):
    arrays(tmp_path, "data.npz", np.eye(5), range(5))
    arrays(tmp_path, "other.npz", 2 * np.eye(5), range(5))
    shutil.copy(tmp_path / "data.npz", tmp_path / "copy.npz")
    (tmp_path / "link.npz").symlink_to("data.npz")
    data = {"file": "data.npz", **ARRAYS}

    def said(**test):
        return one_source(task_of(tmp_path, BUILT, data, test))

    assert said(file="data.npz") == said(file="link.npz") == str(tmp_path / "data.npz")
    assert said(labels="x") == str(tmp_path / "data.npz")
    assert said(file="copy.npz") == f"{tmp_path}/copy.npz is a copy of {tmp_path}/data.npz"
    assert said(file="other.npz") == said(file="gone.npz") == ""
    # Other columns, or another part of a folder with several, may be other samples.
    assert said(inputs={"x": "x2"}) == ""
    assert said(split="test") == ""
    same = task_of(tmp_path, BUILT, data, {})
    remedy = "name another file"
    with pytest.raises(UsageError, match=r"task 'a': its `data:` and `test:` are the same: .*npz"):
        refuse_one_source({"a": same}, remedy)


def test_a_function_is_one_source_where_its_arguments_are_the_same(tmp_path):
    given = {"call": "tiny_models:labelled", "args": {"label": "a", "split": "test", "count": 4}}
    other = {"call": given["call"], "args": {**given["args"], "split": "calibration"}}
    assert one_source(task_of(tmp_path, BUILT, given, given)) == "tiny_models:labelled"
    assert one_source(task_of(tmp_path, BUILT, given, other)) == ""


def test_a_trial_says_it(tmp_path):
    rows = np.random.default_rng(0).normal(size=(6, 5))
    arrays(tmp_path, "data.npz", rows[:4], [0, 1, 2, 0])
    arrays(tmp_path, "test.npz", rows[3:], [0, 1, 1])
    data = {"file": "data.npz", **ARRAYS}
    tried = try_task(task_of(tmp_path, BUILT, data, {"file": "test.npz"}), count=100)
    assert tried.problem == ""
    assert [x for x in tried.warnings if "1 of 3 test samples tried are also" in x]
    tried = try_task(task_of(tmp_path, BUILT, data, {"file": "data.npz"}), count=100)
    assert [x for x in tried.warnings if "search refuses that" in x]
