"""Adapters for tasks of several kinds, and how merges of them are loaded and run."""

from __future__ import annotations

import json
import warnings

import peft
import torch
import transformers
from adapter_case import BERT, GPT2, LLAMA, loaded
from safetensors.torch import load_file

import mergecast as mc

DISTILBERT = transformers.DistilBertConfig(
    vocab_size=40, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=20
)
VIT = transformers.ViTConfig(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
    image_size=16, patch_size=8,
)  # fmt: skip
PADDED = {"pad_token_id": 0}
SEQUENCE = transformers.BertForSequenceClassification
TEXT = {"r": 2, "target_modules": ["query", "value"], "task_type": "SEQ_CLS"}
BARE = {"r": 3, "target_modules": ["query", "output.dense"]}
CASES = {
    "other numbers of classes, and one without a head": (
        transformers.BertForPreTraining, BERT,
        {"a": (SEQUENCE, 2, TEXT), "b": (SEQUENCE, 5, {**TEXT, "r": 3}), "c": (SEQUENCE, 3, BARE)},
        "ab",
    ),
    "other kinds of tasks": (
        transformers.BertForPreTraining, BERT,
        {
            "a": (SEQUENCE, 2, TEXT),
            "b": (transformers.BertForTokenClassification, 4, {**TEXT, "task_type": "TOKEN_CLS"}),
        },
        "ab",
    ),
    "heads of the base's shape, which all share": (
        SEQUENCE, BERT,
        {"a": (SEQUENCE, 3, TEXT), "b": (SEQUENCE, 3, TEXT), "c": (SEQUENCE, 3, BARE)},
        "ab",
    ),
    "a head adapted by factors, one whole, one of another size": (
        SEQUENCE, BERT,
        {
            "a": (SEQUENCE, 3, {**BARE, "target_modules": ["query", "classifier"]}),
            "b": (SEQUENCE, 3, TEXT),
            "c": (SEQUENCE, 2, TEXT),
        },
        "abc",
    ),
    "a layer before the head, saved as PEFT finds it by the end of its name": (
        transformers.DistilBertForMaskedLM, DISTILBERT,
        {
            label: (transformers.DistilBertForSequenceClassification, count,
                    {**TEXT, "target_modules": ["v_lin", "lin1"]})
            for label, count in (("a", 2), ("b", 4))
        },
        "ab",
    ),
    "biases": (
        transformers.BertModel, BERT,
        {
            "a": (SEQUENCE, 2, {**TEXT, "bias": "all"}),
            "b": (SEQUENCE, 5, {**TEXT, "bias": "lora_only"}),
            "c": (SEQUENCE, 3, TEXT),
        },
        "abc",
    ),
    "a layer saved by one beside the head": (
        transformers.BertModel, BERT,
        {
            "a": (SEQUENCE, 2, {**TEXT, "modules_to_save": ["pooler.dense", "classifier"]}),
            "b": (SEQUENCE, 5, TEXT),
        },
        "ab",
    ),
    "decoders": (
        transformers.LlamaForCausalLM, transformers.LlamaConfig(**{**LLAMA.to_dict(), **PADDED}),
        {
            label: (transformers.LlamaForSequenceClassification, count,
                    {"r": rank, "target_modules": ["q_proj", "down_proj"], "task_type": "SEQ_CLS"})
            for label, count, rank in (("a", 2, 2), ("b", 3, 3))
        },
        "ab",
    ),
    "conv1d": (
        transformers.GPT2Model, transformers.GPT2Config(**{**GPT2.to_dict(), **PADDED}),
        {
            label: (transformers.GPT2ForSequenceClassification, count,
                    {"r": 2, "target_modules": ["c_attn"], "task_type": "SEQ_CLS",
                     "fan_in_fan_out": True})
            for label, count in (("a", 2), ("b", 3))
        },
        "ab",
    ),
    "pictures": (
        transformers.ViTModel, VIT,
        {
            label: (transformers.ViTForImageClassification, count,
                    {"r": 2, "target_modules": ["v_proj"], "modules_to_save": ["classifier"]})
            for label, count in (("a", 2), ("b", 3))
        },
        "ab",
    ),
}  # fmt: skip


def answers(model):
    model.eval()
    torch.manual_seed(0)
    inputs = {"input_ids": torch.randint(1, 40, (3, 9))}
    if "ViT" in type(model.get_base_model() if hasattr(model, "peft_config") else model).__name__:
        inputs = {"pixel_values": torch.randn(3, 3, 16, 16)}
    with torch.no_grad():
        return model(**inputs).logits


def on_base(model_class, base, count, folder):
    """An adapter as PEFT loads it; a warning about it is an error, and so is a tensor unused."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(adapter keys|missing|unexpected)")
        model = peft.PeftModel.from_pretrained(loaded(model_class, base, count), folder)
    stored, held = load_file(folder / "adapter_model.safetensors"), model.state_dict()
    assert set(stored) <= {
        name.replace(".default", "").replace(".modules_to_save.", ".") for name in held
    }
    return model


def both(folder, base, models, method="linear", private=(), **settings):
    """Folders of the whole merge and of the adapter, with heads."""
    family = mc.Family.open(base, models, private=private)
    whole = mc.write_merge(family, method, folder / "whole", heads=True)
    out = mc.write_merge(family, method, folder / "lora", heads=True, adapter=True, **settings)
    return whole, out


def config_of(folder):
    return json.loads((folder / "adapter_config.json").read_text())
