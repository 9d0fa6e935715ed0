"""Kinds of models that a file may describe: adapters, modules of one's own, language models."""

from __future__ import annotations

import importlib
import sys

import pandas as pd
import pytest
import torch
from described_files import SMALL, described, rows, write_base, write_described, write_rows
from safetensors.torch import load_file

from mergecast.checkpoints.writer import write_safetensors
from mergecast.suites.described.reading import read_described
from mergecast.suites.run import run_suite
from mergecast.tables.outcomes import OutcomeTable
from mergecast.testing.tiny import Net

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves


def test_an_adapter_that_exists(tmp_path):
    peft = pytest.importorskip("peft")
    content = described(tmp_path)
    torch.manual_seed(1)
    base = transformers.BertForSequenceClassification.from_pretrained(
        tmp_path / "base", num_labels=3
    )
    config = peft.LoraConfig(
        r=2, target_modules=["query"], modules_to_save=["classifier"], init_lora_weights=False
    )
    adapter = peft.get_peft_model(base, config)
    adapter.save_pretrained(tmp_path / "adapter")
    del content["tasks"]["b"]["train"]
    content["tasks"]["b"]["checkpoint"] = "adapter/"
    run = run_suite(write_described(tmp_path, content), tmp_path / "other", **SMALL)
    model = load_file(run / "models" / "b.safetensors")
    wanted = adapter.merge_and_unload().state_dict()
    name = "bert.encoder.layer.0.attention.self.query.weight"
    torch.testing.assert_close(model[name], wanted[name])
    assert torch.equal(model["classifier.weight"], wanted["classifier.weight"])


def test_modules_of_ones_own_on_arrays(tmp_path):
    """A base in one file, a module that a function builds, samples as arrays."""
    torch.manual_seed(0)
    state = {k: v for k, v in Net().state_dict().items() if not k.startswith("head.")}
    write_safetensors(tmp_path / "base.safetensors", {k: v.clone() for k, v in state.items()})
    split = {
        part: {"call": "tiny_models:labelled", "args": {"split": of, "count": count}}
        for part, of, count in (("train", "calibration", 60), ("data", "calibration", 20),
                                ("test", "test", 40))
    }  # fmt: skip
    tasks = {
        label: {
            part: {**given, "args": {**given["args"], "label": label}}
            for part, given in split.items()
        }
        for label in "ab"
    }
    content = {
        "base": "base.safetensors",
        "training": {"steps": 5},
        "defaults": {"model": {"build": "mergecast.testing.tiny:Net"}},
        "tasks": tasks,
    }
    run = run_suite(write_described(tmp_path, content), tmp_path / "run", **SMALL)
    assert OutcomeTable.read(run / "outcomes.parquet").suites == ["suite"]


def test_a_model_is_another_where_the_code_that_builds_it_is(tmp_path, monkeypatch):
    torch.manual_seed(0)
    write_safetensors(tmp_path / "base.safetensors", Net().state_dict())
    data = {"call": "tiny_models:labelled", "args": {"label": "a", "split": "test", "count": 4}}
    task = dict.fromkeys(("train", "data", "test"), data)
    content = {
        "base": "base.safetensors",
        "defaults": {"model": {"build": "builds_it:make"}},
        "tasks": {"a": task, "b": task},
    }
    path = write_described(tmp_path, content)
    monkeypatch.syspath_prepend(tmp_path)

    def contents():
        monkeypatch.delitem(sys.modules, "builds_it", raising=False)
        importlib.invalidate_caches()
        return read_described(path, {}).contents["a"]

    code = "from mergecast.testing.tiny import Net\n\n\ndef make():\n    return Net()\n"
    (tmp_path / "builds_it.py").write_text(code)
    before = contents()
    assert contents() == before
    (tmp_path / "builds_it.py").write_text(code.replace("Net()", "Net(batchnorm=False)"))
    assert contents() != before


@pytest.mark.parametrize(("regime", "times"), [("full", 3), ("lora", 1.2)])
def test_a_language_model_learns_replies(tmp_path, regime, times):
    pytest.importorskip("peft")
    folder = tmp_path
    write_base(folder / "base")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=34, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=16, pad_token_id=0,
    )  # fmt: skip
    (folder / "base" / "config.json").unlink()
    (folder / "base" / "model.safetensors").unlink()
    transformers.LlamaForCausalLM(config).save_pretrained(folder / "base")
    listed = {}
    for seed, label in enumerate("ab"):
        given = [(text, f" w{name[-1]}") for text, name in rows(seed, ["0", "1"], 90)]
        ends = {"train": (0, 60), "data": (60, 75), "test": (75, 90)}
        for split, (first, last) in ends.items():
            write_rows(folder / f"{label}-{split}.csv", given[first:last])
        listed[label] = {split: {"file": f"{label}-{split}.csv"} for split in ends}
    content = {
        "base": "base/",
        "training": {"steps": 40, "rate": 0.01, "regime": regime, "warmup": 2},
        "defaults": {
            "model": {"folder": "base/", "auto": "AutoModelForCausalLM"},
            "data": {"text": "text", "completion": "label", "max_length": 10},
            "score": "likelihood",
        },
        "tasks": listed,
    }
    run = run_suite(write_described(folder, content), folder / "run", **SMALL)
    tasks = pd.read_parquet(run / "tasks.parquet").set_index("task")
    assert (tasks["single_score"] > times * tasks["base_score"]).all()
    model, base = (load_file(run / x) for x in ("models/a.safetensors", "base.safetensors"))
    # The output layer is no place for adapters.
    frozen = torch.equal(model["lm_head.weight"], base["lm_head.weight"])
    assert frozen == (regime == "lora")
