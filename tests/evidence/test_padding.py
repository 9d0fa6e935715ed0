"""The same texts, padded more, have the same metrics; so have encoders with decoders."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import mergecast as mc

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 40,
    "max_position_embeddings": 40,
}
LABELS = ("a", "b")
DIRECTIONS = ("left<-right", "right<-left")
ROWS = 12


def save(folder, cls, config):
    torch.manual_seed(0)
    model = getattr(transformers, cls)(config)
    model.save_pretrained(folder / "base")
    for seed, label in enumerate(LABELS, start=1):
        tuned = type(model).from_pretrained(folder / "base")
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for value in tuned.parameters():
                value.add_(0.03 * torch.randn(value.shape, generator=draw))
        tuned.save_pretrained(folder / label)


def tasks(folder, auto, data, **fields):
    content = {
        "defaults": {"model": {"folder": "base", "auto": auto}, **fields},
        "tasks": {label: {"data": {"file": f"{label}.parquet", **data}} for label in LABELS},
    }
    (folder / "t.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder / "t.yaml"


def rows(label, padding, labelled):
    rng = np.random.default_rng(LABELS.index(label))
    ids = [rng.integers(5, 40, 6).tolist() for _ in range(ROWS)]
    frame = {
        "input_ids": [row + [0] * padding for row in ids],
        "attention_mask": [[1] * 6 + [0] * padding for _ in ids],
    }
    return frame | ({"label": rng.integers(0, 3, ROWS)} if labelled else {})


@pytest.mark.parametrize(
    ("family", "config", "auto", "labelled", "tier"),
    [
        ("Bert", {"num_labels": 3}, "SequenceClassification", True, "gradients"),
        ("Bert", {"num_labels": 5}, "TokenClassification", False, "activations"),
        ("Llama", {}, "CausalLM", False, "gradients"),
    ],
)  # fmt: skip
def test_padding_counts_in_no_metric(family, config, auto, labelled, tier, tmp_path):
    more = {"num_key_value_heads": 2} if family == "Llama" else {}
    made = getattr(transformers, f"{family}Config")(**SMALL, **config, **more)
    save(tmp_path, f"{family}For{auto}", made)
    data = {"inputs": ["input_ids", "attention_mask"]}
    private = ["classifier.*"] if family == "Bert" else []
    file = tasks(
        tmp_path, f"AutoModelFor{auto}", data | ({"labels": "label"} if labelled else {}),
        private=private,
    )  # fmt: skip
    tables = []
    for padding in (0, 20):
        for label in LABELS:
            frame = pd.DataFrame(rows(label, padding, labelled))
            frame.to_parquet(tmp_path / f"{label}.parquet")
        tables.append(
            mc.metrics(
                tmp_path / "base", [tmp_path / label for label in LABELS],
                tasks=file, tier=tier, metrics="all", methods="ties",
            )
        )  # fmt: skip
    plain, padded = (table.select_dtypes("number") for table in tables)
    assert plain.notna().all().sum() > 40
    pd.testing.assert_frame_equal(plain, padded, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_encoders_with_decoders_have_all_metrics(kind, tmp_path):
    if kind == "t5":
        config = transformers.T5Config(
            d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, vocab_size=40,
            decoder_start_token_id=0, pad_token_id=0,
        )  # fmt: skip
        save(tmp_path, "T5ForConditionalGeneration", config)
    else:
        config = transformers.BartConfig(
            d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, vocab_size=40,
            max_position_embeddings=40,
        )  # fmt: skip
        save(tmp_path, "BartForConditionalGeneration", config)
    data = {"inputs": ["input_ids", "attention_mask"], "labels": "labels"}
    file = tasks(tmp_path, "AutoModelForSeq2SeqLM", data)
    for label in LABELS:
        rng = np.random.default_rng(LABELS.index(label))
        targets = [rng.integers(5, 40, rng.integers(2, 5)).tolist() for _ in range(ROWS)]
        frame = pd.DataFrame({**rows(label, 2, False), "labels": targets})
        frame.to_parquet(tmp_path / f"{label}.parquet")
    table = mc.pair_table(
        tmp_path / "base", [tmp_path / label for label in LABELS],
        tasks=file, tier="gradients", metrics="all", methods="ties",
    )  # fmt: skip
    gaps = {entry.key for entry in table.missing if "bottom_k" not in entry.key}
    # Models of random weights are on the wrong side of their own labels.
    margins = ("retention_margin_labelled@ties", "superposed_margin_labelled@ties")
    names = (*margins, "base_margin_labelled")
    assert gaps <= {f"{name}:{way}" for name in names for way in DIRECTIONS}
