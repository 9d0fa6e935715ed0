"""A file that describes a suite, with a tiny BERT, its tokenizer and texts that the tests make."""

from __future__ import annotations

import csv
import random

import pytest
import yaml

WORDS = [f"w{k}" for k in range(30)]
#: A run that takes seconds.
SMALL = {"methods": ["weight_avg"], "tier": "weights", "n_sets": 0, "workers": 1}
SPLITS = {"train": 200, "data": 40, "test": 60}


def write_base(folder):
    """An encoder without a head, as sentence-transformers publishes them."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    import torch

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({name: k for k, name in enumerate(names)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]")
    config = transformers.BertConfig(
        vocab_size=len(names), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=48, max_position_embeddings=16,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def rows(seed, classes, count):
    """Texts whose words mostly belong to their class."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        label = draw.randrange(len(classes))
        own = [f"w{(seed + label * 7 + draw.randrange(7)) % 30}" for _ in range(5)]
        found.append((" ".join([*own, draw.choice(WORDS)]), classes[label]))
    return found


def write_rows(path, given):
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([("text", "label"), *given])
    return path.name


def described(folder, tasks=("a", "b", "c"), **more):
    """The file's content, with its base and samples beside it; classes are called by names."""
    if not (folder / "base").exists():
        write_base(folder / "base")
    listed = {}
    for seed, label in enumerate(tasks):
        classes = [f"{label}{k}" for k in range(2 + seed % 2)]
        given = rows(10 * seed, classes, sum(SPLITS.values()))
        listed[label] = {"classes": classes}
        for split, count in SPLITS.items():
            path = folder / f"{label}-{split}.csv"
            part, given = given[:count], given[count:]
            if not path.exists():
                write_rows(path, part)
            listed[label][split] = {"file": path.name}
    return {
        "name": "mine",
        "base": "base/",
        "training": {"steps": 60, "rate": 0.003, "batch": 16},
        "defaults": {
            "model": {"folder": "base/", "auto": "AutoModelForSequenceClassification"},
            "data": {"text": "text", "labels": "label", "max_length": 8},
        },
        "tasks": listed,
        **more,
    }


def write_described(folder, content):
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path
