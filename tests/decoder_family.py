"""Tiny Llamas that answer a word with another: tasks of prompts and completions, in files."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS, STEPS, ROWS = 24, 60, 40
#: What is answered to the words of numbers n and m.
ANSWERS = {
    "after": lambda n, m: (n + 1, m + 1),
    "before": lambda n, m: (n - 1, m - 1),
    "swapped": lambda n, m: (m, n),
}


def write_family(folder: Path, score: str = "exact_match", *, apart: bool = False) -> list[str]:
    """Base, three fine-tuned models, their samples and ``t.yaml``; the paths of the models.

    Test samples are the others, so that figures can be compared, or `apart` from them.
    """
    special = ["[PAD]", "[UNK]", "ask", "answer"]
    vocabulary = {word: i for i, word in enumerate([*special, *(f"w{n}" for n in range(WORDS))])}
    built = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=built, unk_token="[UNK]", pad_token="[PAD]"
    )
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=16,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    base = LlamaForCausalLM(config)
    # The base has seen some of every task; each model learns the rest of its own.
    texts = {task: _texts(task) for task in ANSWERS}
    _train(base, tokenizer, [row for rows in texts.values() for row in rows[:ROWS]], 2 * STEPS)
    base.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    tests = slice(-2 * ROWS, -ROWS) if apart else slice(-ROWS, None)
    tasks: dict[str, dict[str, object]] = {}
    for task, rows in texts.items():
        model = LlamaForCausalLM.from_pretrained(folder / "base")
        _train(model, tokenizer, rows, STEPS)
        model.save_pretrained(folder / task)
        tasks[task] = {"score": score}
        for part, some in {"data": rows[-ROWS:], "test": rows[tests]}.items():
            lines = [json.dumps({"prompt": ask, "reply": reply}) for ask, reply in some]
            (folder / f"{task}-{part}.jsonl").write_text("\n".join(lines))
            tasks[task][part] = {"file": f"{task}-{part}.jsonl"}
    defaults = {
        "model": {"folder": "base", "auto": "AutoModelForCausalLM"},
        "data": {"text": "prompt", "completion": "reply"},
    }
    (folder / "t.yaml").write_text(yaml.safe_dump({"defaults": defaults, "tasks": tasks}))
    return [str(folder / name) for name in ("base", *ANSWERS)]


def _texts(task: str) -> list[tuple[str, str]]:
    draw = torch.Generator().manual_seed(len(task))
    pairs = torch.randperm(WORDS**2, generator=draw)[: 6 * ROWS].tolist()
    rows = []
    for n, m in (divmod(pair, WORDS) for pair in pairs):
        one, two = (number % WORDS for number in ANSWERS[task](n, m))
        rows.append((f"ask w{n} w{m} answer ", f"w{one} w{two}"))
    return rows


def _train(model, tokenizer, rows, steps):
    ids = tokenizer([ask + reply for ask, reply in rows], return_tensors="pt")["input_ids"]
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    draw = torch.Generator().manual_seed(1)
    for _ in range(steps):
        batch = ids[torch.randint(len(ids), (64,), generator=draw)]
        logits = model(input_ids=batch).logits[:, 3:-1]
        loss = functional.cross_entropy(logits.flatten(0, 1), batch[:, 4:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
