"""Tiny families of the architectures that probes must serve, each with a file of tasks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import load_file
from torch import nn

import mergecast as mc
from mergecast.checkpoints.writer import write_safetensors
from mergecast.tasks.load import load_tasks
from mergecast.tasks.task import Task

ROWS = 14
CLASSES = {"first": 2, "second": 3, "third": 4}
NAMES = tuple(CLASSES)
KINDS = ("bert", "vit", "cnn", "clip", "lm", "lora")


@dataclass(frozen=True)
class Built:
    """A family on disk."""

    base: Path
    models: list[Path]
    tasks_file: Path

    @property
    def tasks(self) -> dict[str, Task]:
        return load_tasks(self.tasks_file)

    def open(self) -> mc.Family:
        private = {p for task in self.tasks.values() for p in task.private}
        return mc.Family.open(self.base, self.models, private=sorted(private))

    @property
    def arguments(self) -> list[str]:
        return [str(self.base), *map(str, self.models), "--tasks", str(self.tasks_file)]


def build_cnn(classes: int = 2) -> nn.Module:
    """The user's own function: a network with BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, classes),
    )


def samples_of(label: str, rows: int = ROWS):
    """A data source in Python: (inputs, labels)."""
    rng = np.random.default_rng(len(label))
    return {"input": rng.standard_normal((rows, 1, 8, 8)).astype(np.float32)}, rng.integers(
        0, CLASSES[label], rows
    )


def tuned(state: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value
        + 0.05 * value.std().nan_to_num(1) * torch.randn(value.shape, generator=generator)
        if value.is_floating_point()
        else value
        for name, value in state.items()
    }


def seeded(build, *arguments, seed: int = 0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(*arguments)


def family(kind: str, folder: Path) -> Built:
    folder.mkdir(parents=True, exist_ok=True)
    return {"cnn": _cnn, "lora": _lora}.get(kind, _hugging_face)(folder, kind)


def _write(folder: Path, content: dict) -> Path:
    path = folder / "tasks.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def _cnn(folder: Path, _kind: str) -> Built:
    state = seeded(build_cnn).state_dict()
    trunk = {n: v for n, v in state.items() if not n.startswith("8.")}
    write_safetensors(folder / "base.safetensors", trunk)
    models, tasks = [], {}
    for seed, (name, classes) in enumerate(CLASSES.items(), 1):
        head = seeded(nn.Linear, 6, classes, seed=seed)
        full = {**tuned(trunk, seed), "8.weight": head.weight, "8.bias": head.bias}
        models.append(folder / f"{name}.safetensors")
        write_safetensors(models[-1], {n: v.detach() for n, v in full.items()})
        tasks[name] = {"data": {"call": "probe_families:samples_of", "args": {"label": name}}}
    defaults = {"model": {"build": "probe_families:build_cnn"}, "private": ["8.*"]}
    file = _write(folder, {"defaults": defaults, "tasks": tasks})
    return Built(folder / "base.safetensors", models, file)


def config_of(kind: str):
    import transformers as hf

    small = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
    small["num_hidden_layers"] = 2
    if kind == "bert":
        return hf.BertConfig(vocab_size=20, max_position_embeddings=16, **small)
    if kind == "vit":
        return hf.ViTConfig(image_size=8, patch_size=4, num_channels=1, **small)
    if kind == "clip":
        return hf.CLIPVisionConfig(image_size=8, patch_size=4, projection_dim=6, **small)
    return hf.LlamaConfig(
        vocab_size=20, max_position_embeddings=16, tie_word_embeddings=True, **small
    )


AUTO = {
    "bert": "AutoModelForSequenceClassification",
    "vit": "AutoModelForImageClassification",
    "clip": "AutoModel",
    "lm": "AutoModelForCausalLM",
    "lora": "AutoModelForCausalLM",
}


def hugging_face_model(kind: str) -> nn.Module:
    import transformers as hf

    return seeded(getattr(hf, AUTO[kind]).from_config, config_of(kind))


def _hugging_face(folder: Path, kind: str) -> Built:
    hugging_face_model(kind).save_pretrained(folder / "base")
    written = load_file(folder / "base/model.safetensors")
    if kind == "clip":  # the names that published checkpoints have
        written = {f"vision_model.{name}": value for name, value in written.items()}
        write_safetensors(folder / "base/model.safetensors", written)
    models, tasks = [], {}
    own = {"classifier.weight", "classifier.bias"}
    for seed, (name, classes) in enumerate(CLASSES.items(), 1):
        state = tuned(written, seed)
        if kind == "lm":  # tied in every checkpoint
            state["lm_head.weight"] = state["model.embed_tokens.weight"].clone()
        if kind in {"bert", "vit"}:
            head = seeded(nn.Linear, 8, classes, seed=seed)
            state |= {"classifier.weight": head.weight, "classifier.bias": head.bias}
        state = {n: v.detach() for n, v in state.items()}
        models.append(folder / name)
        models[-1].mkdir()
        write_safetensors(models[-1] / "model.safetensors", state)
        (models[-1] / "config.json").write_text((folder / "base/config.json").read_text())
        tasks[name] = _data(folder, kind, name, classes)
        if kind == "clip":
            write_safetensors(
                folder / f"{name}-head.safetensors", {"weight": torch.randn(classes, 8)}
            )
            tasks[name]["head"] = {"weights": f"{name}-head.safetensors", "normalize": True}
    defaults: dict = {"model": {"folder": "base", "auto": AUTO[kind]}}
    if kind in {"bert", "vit"}:
        defaults["private"] = sorted(own)
    if kind == "lm":
        defaults["loss"] = "next_token"
    return Built(folder / "base", models, _write(folder, {"defaults": defaults, "tasks": tasks}))


def _data(folder: Path, kind: str, name: str, classes: int) -> dict:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, ROWS)
    if kind in {"bert", "lm", "lora"}:
        # Another length in every row, and another longest row in every task.
        lengths = rng.integers(3, 6 + classes, ROWS)
        ids = [rng.integers(1, 20, length).tolist() for length in lengths]
        table = pa.table({"ids": ids, "label": labels})
        pq.write_table(table, folder / f"{name}.parquet")
        data: dict = {"file": f"{name}.parquet", "inputs": {"input_ids": "ids"}}
        return {"data": data | ({"labels": "label"} if kind == "bert" else {})}
    channels = 1 if kind == "vit" else 3
    pixels = rng.standard_normal((ROWS, channels, 8, 8)).astype(np.float32)
    np.savez(folder / f"{name}.npz", pixel_values=pixels, label=labels)
    return {"data": {"file": f"{name}.npz", "inputs": ["pixel_values"], "labels": "label"}}


def _lora(folder: Path, kind: str) -> Built:
    from peft import LoraConfig, get_peft_model

    hugging_face_model(kind).save_pretrained(folder / "base")
    models, tasks = [], {}
    for seed, (name, classes) in enumerate(CLASSES.items(), 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers the old way
            adapted = get_peft_model(
                hugging_face_model(kind), LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
            )
        generator = torch.Generator().manual_seed(seed)
        for parameter_name, parameter in adapted.named_parameters():
            if "lora_" in parameter_name:
                with torch.no_grad():
                    parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
        models.append(folder / name)
        adapted.save_pretrained(models[-1])
        tasks[name] = _data(folder, kind, name, classes)
    defaults = {"model": {"folder": "base", "auto": AUTO[kind]}, "loss": "next_token"}
    return Built(folder / "base", models, _write(folder, {"defaults": defaults, "tasks": tasks}))
