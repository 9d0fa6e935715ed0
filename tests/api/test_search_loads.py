"""What a search writes, loaded by transformers and measured again, is what it said."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

import mergecast as mc
from mergecast.tasks import scores
from mergecast.tasks.load import load_tasks

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves


def measured(auto, folder, samples, score):
    """Mean score of a folder's model on samples, by transformers alone."""
    model = getattr(transformers, auto).from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(**samples.inputs).logits.double()
    return float(score(logits, samples.labels).mean())


def test_a_merged_language_model(tmp_path):
    from decoder_family import write_family

    base, *models = write_family(tmp_path, apart=True)
    file, out = tmp_path / "t.yaml", tmp_path / "merged"
    found = mc.search(base, models, tasks=file, size=2, budget=6, out=out, workers=2)
    assert found.out == out
    for label, kept in zip(found.members, found.verified.kept, strict=True):
        samples = load_tasks(file)[label].samples(None, 0, "test")
        after, before = (
            measured("AutoModelForCausalLM", folder, samples, scores.exact_match)
            for folder in (out, tmp_path / label)
        )
        assert after / before == pytest.approx(kept, abs=1e-6)
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    text = tokenizer("ask w1 w2 answer", return_tensors="pt")
    model = transformers.AutoModelForCausalLM.from_pretrained(out)
    assert model.generate(**text, max_new_tokens=2).shape == (1, 6)


AUTO = "AutoModelForSequenceClassification"
#: What is asked of six numbers: the remainder of one of them.
ASKED = {"evens": (1, 2), "thirds": (2, 3)}


def test_merged_classifiers_each_with_its_head(tmp_path):
    base, models = _classifiers(tmp_path)
    out = tmp_path / "merged"
    file = tmp_path / "t.yaml"
    found = mc.search(base, models, tasks=file, budget=4, out=out, workers=1)
    assert found.members == ("evens", "thirds")
    for label, kept in zip(found.members, found.verified.kept, strict=True):
        samples = load_tasks(file)[label].samples(None, 0, "test")
        after, before = (
            measured(AUTO, folder, samples, scores.accuracy)
            for folder in (out / "heads" / label, tmp_path / label)
        )
        assert before > 0.9
        assert after / before == pytest.approx(kept, abs=1e-6)
    told = json.loads((out / "mergecast.json").read_text())["search"]
    assert told["verified"]["value"] == found.verified.value


def _classifiers(folder):
    config = transformers.BertConfig(
        vocab_size=12,
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=8,
    )
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(folder / "base")
    ids = torch.randint(12, (400, 6))
    tasks = {}
    for label, (place, classes) in ASKED.items():
        model = transformers.BertForSequenceClassification.from_pretrained(
            folder / "base", num_labels=classes, ignore_mismatched_sizes=True
        )
        answers = ids[:, place] % classes
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        for _ in range(120):
            model(input_ids=ids[:300], labels=answers[:300]).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        model.save_pretrained(folder / label)
        for split, rows in (("data", slice(0, 300)), ("test", slice(300, None))):
            columns = {"ids": ids[rows].tolist(), "answer": answers[rows].tolist()}
            pq.write_table(pa.table(columns), folder / f"{label}-{split}.parquet")
        tasks[label] = {
            "data": {
                "file": f"{label}-data.parquet",
                "inputs": {"input_ids": "ids"},
                "labels": "answer",
            },
            "test": {"file": f"{label}-test.parquet"},
        }
    defaults = {"model": {"folder": "base", "auto": AUTO}, "private": ["classifier.*"]}
    (folder / "t.yaml").write_text(yaml.safe_dump({"defaults": defaults, "tasks": tasks}))
    return folder / "base", [folder / label for label in ASKED]
