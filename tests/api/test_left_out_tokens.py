"""Tokens that a merge leaves out, and samples that have none of them."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
import torch
import yaml

import mergecast as mc
from mergecast.errors import FamilyError, UsageError

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
pytest.importorskip("tokenizers", reason="needs the hf extra")
from token_family import (  # noqa: E402
    HEAD,
    ROWS,
    WORDS,
    by_hand,
    scores,
    tokenizer_of,
    without_new_tokens,
    write_classifiers,
    write_task,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
logging.getLogger("transformers").setLevel(logging.ERROR)
METHODS = ("task_arithmetic", "ties", "weight_avg")


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    """Folder, base and models."""
    folder = tmp_path_factory.mktemp("classifiers")
    return folder, *write_classifiers(folder)


def test_tokens_that_are_left_out_are_refused_where_samples_have_them(classifiers):
    folder, base, models = classifiers
    said = r"task 'a': \d+ of 40 samples have a token that merges leave out, as '<.*>'; keep new "
    for call in (mc.forecast, mc.measure, mc.search):
        with pytest.raises(UsageError, match=f"{said}tokens by --vocabulary union"):
            call(base, models, tasks=folder / "t.yaml", vocabulary="base")


def test_samples_of_the_base_s_tokens_are_measured_without_new_ones(classifiers, tmp_path):
    folder, base, models = classifiers
    tasks, rows = without_new_tokens(folder, tmp_path)
    found = {}
    for mode in ("base", "union"):
        table = mc.measure(base, models, tasks=tasks, methods=METHODS, vocabulary=mode)
        found[mode] = scores(table)
        family = mc.Family.open(base, models, private=HEAD, vocabulary=mode)
        out = mc.write_merge(family, "ties", tmp_path / mode, heads=True)
        for label in "ab":
            hand = [
                by_hand(x, label, rows[label])[0] for x in (out / "heads" / label, folder / label)
            ]
            assert found[mode]["ties", "a+b", label] == pytest.approx(tuple(hand))
    assert found["base"] == found["union"]
    forecast = mc.forecast(base, models, tasks=tasks, methods="ties", vocabulary="base")
    assert np.isfinite(forecast.rows["retention"]).all()


def test_padding_by_a_token_of_one_s_own(tmp_path):
    """Decoders that classify look for the last token that is no padding, by its number."""
    torch.manual_seed(0)
    words = WORDS[1:]
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, bos_token_id=None, eos_token_id=1,
        pad_token_id=None, num_labels=2,
    )  # fmt: skip
    transformers.LlamaForSequenceClassification(config).save_pretrained(tmp_path / "base")
    tokenizer_of(words, pad_token=None).save_pretrained(tmp_path / "base")
    tasks, rows = {}, {}
    for label, added in (("a", ["<a>"]), ("b", ["<b>", "<c>"])):
        tokens = tokenizer_of(words, *added, pad_token=None)
        tokens.add_special_tokens({"pad_token": "[MINE]" if label == "b" else "[PAD]"})
        model = transformers.LlamaForSequenceClassification.from_pretrained(tmp_path / "base")
        model.resize_token_embeddings(len(tokens), mean_resizing=False)
        model.config.pad_token_id = tokens.pad_token_id
        with torch.no_grad():
            for value in model.parameters():
                value.add_(0.1 * torch.randn(value.shape))
        model.save_pretrained(tmp_path / label)
        tokens.save_pretrained(tmp_path / label)
        draw = torch.Generator().manual_seed(ord(label))
        lengths = torch.randint(2, 8, (2 * ROWS,), generator=draw).tolist()
        texts = [
            " ".join(f"w{n}" for n in torch.randint(16, (k,), generator=draw).tolist())
            for k in lengths
        ]
        answers = by_hand(tmp_path / label, label, [(text, 0) for text in texts])[1].argmax(-1)
        rows[label] = list(zip(texts, answers.tolist(), strict=True))
        tasks[label] = write_task(
            tmp_path, label, "AutoModelForSequenceClassification", rows[label]
        ) | {"private": ["score.*"]}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({"tasks": tasks}))
    models = [tmp_path / "a", tmp_path / "b"]
    for mode in ("union", "base"):
        options = {"tasks": tmp_path / "t.yaml", "methods": "weight_avg", "vocabulary": mode}
        found = scores(mc.measure(tmp_path / "base", models, unchecked=True, **options))
        family = mc.Family.open(tmp_path / "base", models, private="score.*", vocabulary=mode)
        merged = mc.merge(family, "weight_avg", heads=True)
        for label in "ab":
            score, single = found["weight_avg", "a+b", label]
            assert single == 1  # answers are the models' own
            net = transformers.LlamaForSequenceClassification.from_pretrained(tmp_path / "base")
            net.resize_token_embeddings(family.vocabulary.rows, mean_resizing=False)
            net.load_state_dict(merged[label])
            right = []
            for text, label_of in rows[label][ROWS:]:  # one by one, so that nothing is padded
                ids = tokenizer_of(words, pad_token=None)(text, return_tensors="pt")["input_ids"]
                with torch.no_grad():
                    right.append(int(net.eval()(ids).logits.argmax()) == label_of)
            assert score == pytest.approx(np.mean(right))


def test_what_is_kept_is_of_one_way_of_matching_alone(classifiers, tmp_path):
    """Three families of one content read differently: none reads what another stored."""
    folder, base, _ = classifiers
    models = [tmp_path / "x", tmp_path / "y"]
    for seed, place in enumerate(models):
        shutil.copytree(base, place)
        net = transformers.AutoModelForSequenceClassification.from_pretrained(place)
        torch.manual_seed(seed)
        with torch.no_grad():
            for value in net.parameters():
                value.add_(0.05 * torch.randn(value.shape))
        net.save_pretrained(place)
    given = yaml.safe_load(without_new_tokens(folder, tmp_path)[0].read_text())["tasks"]
    for section in given.values():
        section["model"]["folder"] = str(base)
    tasks = tmp_path / "xy.yaml"
    tasks.write_text(yaml.safe_dump({"tasks": {"x": given["a"], "y": given["b"]}}))
    cache, seen = tmp_path / "cache", []
    for mode in (None, "base", "union", None):
        mc.measure(base, models, tasks=tasks, methods="ties", vocabulary=mode, cache=cache)
        seen.append(len([*cache.rglob("*.json")]))
    assert seen[0] < seen[1] < seen[2] == seen[3]


def test_a_bias_with_a_column_a_token_is_refused_by_name(tmp_path):
    config = transformers.BartConfig(
        vocab_size=21, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24,
        max_position_embeddings=32,
    )  # fmt: skip
    for label, added in (("base", ()), ("a", ("<a>",))):
        model = transformers.BartForConditionalGeneration(config)
        model.resize_token_embeddings(len(WORDS) + len(added), mean_resizing=False)
        model.save_pretrained(tmp_path / label)
        tokenizer_of(WORDS, *added).save_pretrained(tmp_path / label)
    with pytest.raises(FamilyError, match="'final_logits_bias' has a column for each token") as e:
        mc.Family.open(tmp_path / "base", [tmp_path / "a"], vocabulary="union")
    assert "resize the base and all models to one vocabulary first" in str(e.value)
