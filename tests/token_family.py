"""Tiny models with tokens of their own: classifiers and language models, in files, with tasks."""

from __future__ import annotations

import json
from pathlib import Path

import tokenizers
import torch
import transformers
import yaml

#: The base's tokens, and those that models add; one of both has the same name at another row.
WORDS = ["[PAD]", "[UNK]", "</s>", "[CLS]", "[SEP]", *(f"w{number}" for number in range(16))]
ADDED = {"base": (), "a": ("<a>", "<both>"), "b": ("<both>", "<b>")}
ROWS, STEPS = 40, 40
HEAD = "classifier.*"


def tokenizer_of(words, *added, **special):
    """A tokenizer of whole words, with tokens added to it."""
    model = tokenizers.models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]")
    built = tokenizers.Tokenizer(model)
    built.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "[PAD]", **special}
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=built, unk_token="[UNK]", eos_token="</s>", **special
    )
    made.add_tokens(list(added))
    return made


def texts_of(label: str, count: int = 2 * ROWS) -> list[tuple[str, int]]:
    """Texts of a task with its model's own tokens in them; the class hangs on these."""
    draw = torch.Generator().manual_seed(len(label) + ord(label[0]))
    own = [*ADDED[label], "w0", "w1"]
    rows = []
    for _ in range(count):
        place = int(torch.randint(len(own), (1,), generator=draw))
        words = [f"w{n}" for n in torch.randint(2, 16, (3,), generator=draw).tolist()]
        words.insert(int(torch.randint(4, (1,), generator=draw)), own[place])
        rows.append((" ".join(words), place % 2))
    return rows


def write_classifiers(folder: Path, orders=None) -> tuple[Path, list[Path]]:
    """BERT classifiers, their samples and ``t.yaml``; `orders`: label to words in another order."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=12, num_labels=2,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder / "base")
    tokenizer_of(WORDS).save_pretrained(folder / "base")
    tasks = {}
    for label in ("a", "b"):
        words = (orders or {}).get(label, WORDS)
        tokenizer = tokenizer_of(words, *ADDED[label])
        model = transformers.BertForSequenceClassification.from_pretrained(folder / "base")
        torch.manual_seed(ord(label))
        embeddings = model.get_input_embeddings().weight.data.clone()
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        order = torch.tensor([WORDS.index(word) for word in words])
        model.get_input_embeddings().weight.data[: len(words)] = embeddings[order]
        rows = texts_of(label)
        _train(model, dict(tokenizer([t for t, _ in rows], padding=True, return_tensors="pt")),
               torch.tensor([y for _, y in rows]))  # fmt: skip
        model.save_pretrained(folder / label)
        tokenizer.save_pretrained(folder / label)
        tasks[label] = write_task(folder, label, "AutoModelForSequenceClassification", rows)
        tasks[label]["private"] = ["classifier.*"]
    (folder / "t.yaml").write_text(yaml.safe_dump({"tasks": tasks}))
    return folder / "base", [folder / "a", folder / "b"]


def write_task(folder: Path, label: str, auto: str, rows) -> dict[str, object]:
    """Samples of a task in files, half of them to test; its section of a task file."""
    for name, part in (("data", rows[:ROWS]), ("test", rows[ROWS:])):
        lines = [json.dumps({"text": text, "answer": answer}) for text, answer in part]
        (folder / f"{label}-{name}.jsonl").write_text("\n".join(lines))
    answer = "completion" if auto == "AutoModelForCausalLM" else "labels"
    return {
        "model": {"folder": label, "auto": auto},
        "data": {"file": f"{label}-data.jsonl", "text": "text", answer: "answer"},
        "test": {"file": f"{label}-test.jsonl", "text": "text", answer: "answer"},
    }


def write_language_models(folder: Path) -> tuple[Path, list[Path]]:
    """Llamas that answer with tokens of their own, their samples and ``t.yaml``."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=12,
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder / "base")
    tokenizer_of(WORDS).save_pretrained(folder / "base")
    tasks = {}
    for label in ("a", "b"):
        tokenizer = tokenizer_of(WORDS, *ADDED[label])
        model = transformers.LlamaForCausalLM.from_pretrained(folder / "base")
        torch.manual_seed(ord(label))
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        rows = [(f"{t} ", ADDED[label][y]) for t, y in texts_of(label)]
        ids = tokenizer([t + y for t, y in rows], return_tensors="pt")["input_ids"]
        labels = torch.full_like(ids, -100)
        labels[:, -1] = ids[:, -1]
        _train(model, {"input_ids": ids}, labels)
        model.save_pretrained(folder / label)
        tokenizer.save_pretrained(folder / label)
        tasks[label] = write_task(folder, label, "AutoModelForCausalLM", rows)
    (folder / "t.yaml").write_text(yaml.safe_dump({"tasks": tasks}))
    return folder / "base", [folder / "a", folder / "b"]


def _train(model, inputs, labels):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    inputs.pop("token_type_ids", None)
    for _ in range(STEPS):
        optimizer.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
    model.eval()


def by_hand(model, label, rows=None):
    """Accuracy, and logits of the classes, of a folder's model on texts, by transformers alone."""
    tokens = transformers.AutoTokenizer.from_pretrained(model)
    net = transformers.AutoModelForSequenceClassification.from_pretrained(model).eval()
    rows = texts_of(label)[ROWS:] if rows is None else rows
    inputs = tokens([text for text, _ in rows], padding=True, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    with torch.no_grad():
        logits = net(**inputs).logits
    right = logits.argmax(-1) == torch.tensor([answer for _, answer in rows])
    return float(right.float().mean()), logits


def said_by_hand(model, label):
    """The share of answers that a folder's model gives as the task says."""
    tokens = transformers.AutoTokenizer.from_pretrained(model)
    net = transformers.AutoModelForCausalLM.from_pretrained(model).eval()
    rows = texts_of(label)[ROWS:]
    with torch.no_grad():
        logits = net(tokens([t for t, _ in rows], return_tensors="pt")["input_ids"]).logits
    wanted = [tokens.convert_tokens_to_ids(ADDED[label][y]) for _, y in rows]
    return float((logits[:, -1].argmax(-1) == torch.tensor(wanted)).float().mean())


def scores(measured):
    """(method, members, task) to score and single score."""
    rows = measured.outcomes.frame.to_dict("records")
    keys = ("method", "members", "task")
    return {tuple(r[k] for k in keys): (r["score"], r["single_score"]) for r in rows}


def without_new_tokens(folder, tmp_path):
    """The tasks with samples of the base's tokens alone."""
    tasks = {}
    kept = {x: [row for row in texts_of(x, 400) if "<" not in row[0]][: 2 * ROWS] for x in "ab"}
    for label, rows in kept.items():
        tasks[label] = write_task(tmp_path, label, "AutoModelForSequenceClassification", rows)
        tasks[label] |= {"private": [HEAD]}
        tasks[label]["model"]["folder"] = str(folder / label)
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump({"tasks": tasks}))
    return tmp_path / "plain.yaml", {label: rows[ROWS:] for label, rows in kept.items()}
