"""Files beside equal tensors that make them other networks: refused or warned of, by severity."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mergecast.checkpoints.writer import write_safetensors
from mergecast.family.preflight import check


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((6, 6), dtype=np.float32)
    head = rng.standard_normal((3, 6), dtype=np.float32)
    made = {}
    for label in ("base", "a", "b"):
        made[label] = tmp_path / label
        made[label].mkdir()
        moved = 0.01 * rng.standard_normal((6, 6), dtype=np.float32) if label != "base" else 0
        tensors = {"layer.weight": weight + moved, "classifier.weight": head}
        write_safetensors(made[label] / "model.safetensors", tensors)
        put(made[label], "config.json", {"model_type": "bert", "num_attention_heads": 2})
    return made


def put(folder, name, content):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def findings(folders, rule):
    preflight = check(folders["base"], [folders["a"], folders["b"]])
    return [(f.severity, f.about, f.message) for f in preflight.findings if f.rule == rule]


def test_equal_files_say_nothing(folders):
    assert {f.rule for f in check(folders["base"], [folders["a"], folders["b"]]).findings} <= {
        "shared head",
    }


@pytest.mark.parametrize(
    ("key", "severity"),
    [
        ("num_attention_heads", "error"),
        ("hidden_act", "error"),
        ("layer_norm_eps", "warning"),
        ("sliding_window", "warning"),
    ],
)
def test_a_config_of_another_network(key, severity, folders):
    common = {"model_type": "bert"}
    for label in ("base", "a"):
        put(folders[label], "config.json", {**common, key: 1})
    put(folders["b"], "config.json", {**common, key: 2})
    [(found, about, message)] = findings(folders, "config")
    assert (found, about) == (severity, "b")
    assert message.startswith(f"config.json says {key} = 2, the base's 1")


def test_the_rotary_base_is_compared_wherever_a_version_puts_it(folders):
    put(folders["base"], "config.json", {"rope_theta": 10000.0})
    put(folders["a"], "config.json", {"rope_parameters": {"rope_theta": 10000.0}})
    put(folders["b"], "config.json", {"rope_parameters": {"rope_theta": 2e7}})
    [(severity, about, message)] = findings(folders, "config")
    assert (severity, about) == ("warning", "b")
    assert "rope_theta = 20000000.0" in message


LINEAR = {"rope_type": "linear", "factor": 4.0}


@pytest.mark.parametrize(
    ("base", "other", "said"),
    [
        (
            {"rope_theta": 1e4, "rope_scaling": None},
            {"rope_scaling": LINEAR},
            "rope_type = 'linear'",
        ),
        (
            {"rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 8.0}},
            {"rope_parameters": {**LINEAR, "rope_theta": 1e4}},
            "rope_scaling.factor = 4.0, the base's 8.0",
        ),
        ({}, {"rope_theta": 1e6}, "rope_theta = 1000000.0, the base's 10000.0"),
        ({}, {"rope_theta": 10000}, None),
        (
            {"rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 4}},
            {"rope_parameters": {**LINEAR, "rope_theta": 1e4}},
            None,
        ),
        ({"rope_theta": 1e4, "rope_scaling": None}, {"rope_parameters": {"rope_theta": 1e4}}, None),
        ({"tie_word_embeddings": True}, {"tie_word_embeddings": False}, "tie_word_embeddings"),
    ],
)
def test_what_one_version_leaves_out_or_calls_otherwise(base, other, said, folders):
    for label, config in (("base", base), ("a", base), ("b", other)):
        put(folders[label], "config.json", {"model_type": "llama", **config})
    found = findings(folders, "config")
    if said is None:
        assert found == []
        return
    [(severity, about, message)] = found
    assert (severity, about) == ("warning", "b")
    assert said in message


@pytest.mark.parametrize(("base", "severity"), [("bert_mae", "warning"), ("bart", "error")])
def test_a_network_in_another_role_is_the_same_network(base, severity, folders):
    put(folders["base"], "config.json", {"model_type": base})
    assert {found[0] for found in findings(folders, "config")} == {severity}


@pytest.mark.parametrize(
    "key",
    [
        "transformers_version",
        "torch_dtype",
        "hidden_dropout_prob",
        "resid_pdrop",
        "num_labels",
        "use_cache",
        "attn_implementation",
        "pretraining_tp",
        "temperature",
        "tokenizer_class",
        "unsloth_version",
    ],
)
def test_what_does_not_change_the_network_is_not_said(key, folders):
    put(folders["b"], "config.json", {"model_type": "bert", "num_attention_heads": 2, key: "x"})
    put(folders["base"], "config.json", {"model_type": "bert", "num_attention_heads": 2, key: "y"})
    assert findings(folders, "config") == []


def test_tokens_in_another_order_are_refused(folders):
    for label, words in (("base", "ab"), ("a", "ab"), ("b", "ba")):
        tokens = {word: number for number, word in enumerate(words)}
        put(folders[label], "tokenizer.json", {"model": {"vocab": tokens}})
    [(severity, about, message)] = findings(folders, "tokenizer")
    assert (severity, about) == ("error", "b")
    assert message.startswith("2 token(s) have another number than in the base, first 'b': 0")


def test_added_tokens_and_chat_templates_are_warned_of(folders):
    for label in ("base", "a", "b"):
        put(folders[label], "tokenizer.json", {"model": {"vocab": {"x": 0}}})
        put(folders[label], "tokenizer_config.json", {"chat_template": "t", "pad_token": "p"})
    added = [{"id": 1, "content": "<new>"}]
    put(folders["b"], "tokenizer.json", {"model": {"vocab": {"x": 0}}, "added_tokens": added})
    put(folders["b"], "tokenizer_config.json", {"chat_template": "u", "pad_token": "p"})
    found = findings(folders, "tokenizer")
    assert {entry[:2] for entry in found} == {("warning", "b")}
    assert {entry[2] for entry in found} == {
        "1 token(s) that the base lacks, first '<new>'",
        "chat_template differs from the base's",
    }


def test_labels_in_another_order_matter_where_heads_are_merged(folders):
    labels = {"0": "neg", "1": "neu", "2": "pos"}
    put(folders["a"], "config.json", {"id2label": labels})
    put(folders["b"], "config.json", {"id2label": {"0": "pos", "1": "neu", "2": "neg"}})
    [(severity, about, message)] = findings(folders, "labels")
    assert (severity, about) == ("warning", "b")
    assert "its labels are pos, neu, neg, those of 'a' neg, neu, pos" in message


@pytest.mark.parametrize(
    ("file", "rule"),
    [("preprocessor_config.json", "preprocessor"), ("1_Pooling/config.json", "pooling")],
)
def test_other_pixels_and_another_pooling_are_warned_of(file, rule, folders):
    key = "image_mean" if rule == "preprocessor" else "pooling_mode_cls_token"
    for label, value in (("base", 0), ("a", 0), ("b", 1)):
        put(folders[label], file, {key: value})
    [(severity, about, message)] = findings(folders, rule)
    assert (severity, about) == ("warning", "b")
    assert key in message


def test_labels_called_base_and_family_are_models(folders):
    for name in ("family", "a"):
        if name == "family":
            folders["b"].rename(folders["b"].parent / "family")
    parent = folders["base"].parent
    preflight = check(folders["base"], [parent / "base", parent / "family", parent / "a"])
    assert preflight.usable == ["family", "a"]
    assert preflight.refused == ["base"]
