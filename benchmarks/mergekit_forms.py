"""Files of mergekit in all forms that are read here, run by mergekit and by mergecast, compared.

python benchmarks/mergekit_forms.py --python PATH

PATH is a Python in whose environment mergekit is installed (`python -m mergekit.scripts.run_yaml`).
Two small Llamas of four layers are fine-tuned by noise from a third; every file is run by both, and
the largest difference of a merged weight is printed, beside the largest change from the base. Files
written by mergecast (`mergekit_text`) of recipes are run the same way.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

import mergecast as mc
from mergecast.checkpoints import Checkpoint
from mergecast.cli.main import run
from mergecast.merging.mergekit_text import mergekit_text

LAYERS = 4
_ALONG = [{"filter": "self_attn", "value": [0, 0.5, 0.3, 0.7, 1]},
          {"filter": "mlp", "value": [1, 0.5, 0.7, 0.3, 0]}, {"value": 0.5}]  # fmt: skip


def models(**by_model: Any) -> list[dict[str, Any]]:
    return [{"model": name, "parameters": given} for name, given in by_model.items()]


def sources(first: int, end: int, **by_model: Any) -> dict[str, Any]:
    given = by_model or {"a": {}, "b": {}}
    listed = [
        {"model": name, "layer_range": [first, end], "parameters": own}
        for name, own in given.items()
    ]
    return {"sources": listed}


FILES: dict[str, dict[str, Any]] = {
    "linear": {"merge_method": "linear", "models": models(a={"weight": 1.0}, b={"weight": 0.3})},
    "gradient slerp of slices": {
        "merge_method": "slerp",
        "base_model": "a",
        "slices": [sources(0, LAYERS)],
        "parameters": {"t": _ALONG},
    },
    "gradient slerp of models": {
        "merge_method": "slerp",
        "base_model": "a",
        "models": models(a={}, b={}),
        "parameters": {"t": _ALONG},
    },
    "ties with a gradient": {
        "merge_method": "ties",
        "base_model": "base",
        "models": models(
            a={"density": [1, 0.7, 0.1], "weight": 1.0},
            b={"density": 0.5, "weight": [0, 0.3, 0.7, 1]},
        ),
        "parameters": {"normalize": True},
    },
    "ties by filter": {
        "merge_method": "ties",
        "base_model": "base",
        "models": models(
            a={"density": 0.5, "weight": 1.0},
            b={"density": 0.33, "weight": [{"filter": "mlp", "value": 0.5}, {"value": 0}]},
        ),
        "parameters": {"normalize": True},
    },
    "linear of two slices": {
        "merge_method": "linear",
        "slices": [
            sources(0, 1, a={"weight": 1.0}, b={"weight": 0.2}),
            sources(1, LAYERS, a={"weight": [0.1, 0.9]}, b={"weight": 0.5}),
        ],
    },
    "task arithmetic in a module": {
        "merge_method": "task_arithmetic",
        "base_model": "base",
        "modules": {"default": {"models": models(a={"weight": 0.7}, b={"weight": [0.2, 0.8]})}},
        "parameters": {"lambda": 0.9},
    },
}
WRITTEN = ("weight_avg", "task_arithmetic(scaling=0.7)", "ties(density=0.5, scaling=1)", "karcher")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="of an environment with mergekit")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_models()
        files = {name: yaml.safe_dump(content) for name, content in FILES.items()}
        files |= {
            f"written: {text}": mergekit_text(mc.Recipe.of(text), "base", {"a": "a", "b": "b"})
            for text in WRITTEN
        }
        print(f"{'file':<34}{'difference':>12}{'change':>10}")
        for number, (name, text) in enumerate(files.items()):
            difference, change = compared(arguments.python, number, text)
            print(f"{name:<34}{difference:12.1e}{change:10.2f}")


def write_models() -> None:
    """A base and two models at some distance, as folders."""
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    base = LlamaForCausalLM(config)
    start = {name: value.clone() for name, value in base.state_dict().items()}
    for label, far in (("base", 0.0), ("a", 0.02), ("b", 0.02)):
        moved = {name: value + far * torch.randn_like(value) for name, value in start.items()}
        base.load_state_dict(moved)
        base.save_pretrained(label)


def compared(python: str, number: int, text: str) -> tuple[float, float]:
    """The largest difference of the two outputs, and the largest change from the base."""
    file, theirs, ours = Path(f"{number}.yml"), Path(f"theirs-{number}"), Path(f"ours-{number}")
    file.write_text(text, encoding="utf-8")
    command = [python, "-m", "mergekit.scripts.run_yaml", str(file), str(theirs)]
    command += ["--no-write-model-card", "--no-copy-tokenizer"]
    subprocess.run(command, check=True, capture_output=True)
    with contextlib.redirect_stdout(io.StringIO()):
        code = run(["merge", "--mergekit", str(file), "-o", str(ours), "--dtype", "float32"])
    if code:
        raise SystemExit(f"mergecast gave {code} for\n{text}")
    first, second, base = (Checkpoint.open(one) for one in (theirs, ours, Path("base")))
    if set(first.names) != set(second.names):
        raise SystemExit(f"other parameters for\n{text}")
    pairs = [(first.array(name), second.array(name), base.array(name)) for name in first.names]
    difference = max(float(np.abs(a - b).max()) for a, b, _ in pairs)
    return difference, max(float(np.abs(b - c).max()) for _, b, c in pairs)


if __name__ == "__main__":
    main()
