"""Tiny models of the architectures that people merge, as a hub has them and as they are saved.

Every entry names the class whose weights a hub keeps under the base's name (a bare encoder, or
one with a pre-training head), the class that people fine-tune, and a config small enough for a
test. Weights are random: what is tried is names, shapes and files, not skill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 40,
    "max_position_embeddings": 40,
}
DECODER = {**TEXT, "num_key_value_heads": 2}
IMAGE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 16,
    "patch_size": 8,
}


@dataclass(frozen=True)
class Architecture:
    """One architecture: names of transformers' classes, its config, and how a LoRA adapts it.

    kind : ``text``, ``image``, ``decoder`` or ``seq2seq``: what inputs it takes.
    targets : modules that an adapter adapts.
    """

    bare: str
    tuned: str
    config: str
    options: Mapping[str, Any]
    kind: str
    targets: tuple[str, ...]
    labelled: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)


def _text(bare: str, tuned: str, config: str, *targets: str, **options: Any) -> Architecture:
    return Architecture(bare, tuned, config, {**TEXT, **options}, "text", targets)


def _image(bare: str, tuned: str, config: str, *targets: str, **options: Any) -> Architecture:
    return Architecture(bare, tuned, config, {**IMAGE, **options}, "image", targets)


def _decoder(bare: str, tuned: str, config: str, *targets: str, **options: Any) -> Architecture:
    return Architecture(bare, tuned, config, {**DECODER, **options}, "decoder", targets, False)


_QV = ("query", "value")
_QV_PROJ = ("q_proj", "v_proj")
ARCHITECTURES: dict[str, Architecture] = {
    "bert": _text("BertForPreTraining", "BertForSequenceClassification", "BertConfig", *_QV),
    "bert-bare": _text("BertModel", "BertForSequenceClassification", "BertConfig", *_QV),
    "bert-ner": _text("BertForMaskedLM", "BertForTokenClassification", "BertConfig", *_QV),
    "roberta": _text(
        "RobertaForMaskedLM", "RobertaForSequenceClassification", "RobertaConfig", *_QV
    ),
    "xlm-roberta": _text(
        "XLMRobertaForMaskedLM", "XLMRobertaForSequenceClassification", "XLMRobertaConfig", *_QV
    ),
    "distilbert": Architecture(
        "DistilBertForMaskedLM",
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        {
            "dim": 16,
            "n_layers": 2,
            "n_heads": 2,
            "hidden_dim": 32,
            "vocab_size": 40,
            "max_position_embeddings": 40,
        },
        "text",
        ("q_lin", "v_lin"),
    ),
    "albert": _text(
        "AlbertForMaskedLM",
        "AlbertForSequenceClassification",
        "AlbertConfig",
        *_QV,
        embedding_size=8,
    ),
    "electra": _text(
        "ElectraForPreTraining",
        "ElectraForSequenceClassification",
        "ElectraConfig",
        *_QV,
        embedding_size=16,
    ),
    "deberta-v2": _text(
        "DebertaV2ForMaskedLM",
        "DebertaV2ForSequenceClassification",
        "DebertaV2Config",
        "query_proj",
        "value_proj",
    ),
    "mpnet": _text("MPNetForMaskedLM", "MPNetForSequenceClassification", "MPNetConfig", "q", "v"),
    "modernbert": _text(
        "ModernBertForMaskedLM",
        "ModernBertForSequenceClassification",
        "ModernBertConfig",
        "Wqkv",
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
    ),
    "camembert": _text(
        "CamembertForMaskedLM", "CamembertForSequenceClassification", "CamembertConfig", *_QV
    ),
    "gpt2": Architecture(
        "GPT2Model",
        "GPT2LMHeadModel",
        "GPT2Config",
        {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 40, "n_positions": 40},
        "decoder",
        ("c_attn", "c_proj"),
        False,
    ),
    "llama": _decoder("LlamaForCausalLM", "LlamaForCausalLM", "LlamaConfig", *_QV_PROJ),
    "llama-classifier": Architecture(
        "LlamaForCausalLM",
        "LlamaForSequenceClassification",
        "LlamaConfig",
        {**DECODER, "pad_token_id": 0},
        "text",
        _QV_PROJ,
    ),
    "mistral": _decoder("MistralForCausalLM", "MistralForCausalLM", "MistralConfig", *_QV_PROJ),
    "qwen2": _decoder("Qwen2ForCausalLM", "Qwen2ForCausalLM", "Qwen2Config", *_QV_PROJ),
    "qwen3": _decoder("Qwen3ForCausalLM", "Qwen3ForCausalLM", "Qwen3Config", *_QV_PROJ, head_dim=8),
    "gemma": _decoder("GemmaForCausalLM", "GemmaForCausalLM", "GemmaConfig", *_QV_PROJ, head_dim=8),
    "phi": _decoder("PhiForCausalLM", "PhiForCausalLM", "PhiConfig", *_QV_PROJ),
    "opt": Architecture(
        "OPTForCausalLM",
        "OPTForCausalLM",
        "OPTConfig",
        {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "ffn_dim": 32,
            "vocab_size": 40,
            "max_position_embeddings": 40,
            "word_embed_proj_dim": 16,
        },
        "decoder",
        _QV_PROJ,
        False,
    ),
    "gpt-neox": _decoder(
        "GPTNeoXForCausalLM", "GPTNeoXForCausalLM", "GPTNeoXConfig", "query_key_value"
    ),
    "bloom": Architecture(
        "BloomForCausalLM",
        "BloomForCausalLM",
        "BloomConfig",
        {"hidden_size": 16, "n_layer": 2, "n_head": 2, "vocab_size": 40},
        "decoder",
        ("query_key_value",),
        False,
    ),
    "t5": Architecture(
        "T5ForConditionalGeneration",
        "T5ForConditionalGeneration",
        "T5Config",
        {
            "d_model": 16,
            "d_kv": 8,
            "d_ff": 32,
            "num_layers": 2,
            "num_heads": 2,
            "vocab_size": 40,
            "decoder_start_token_id": 0,
        },
        "seq2seq",
        ("q", "v"),
        False,
    ),
    "bart": Architecture(
        "BartModel",
        "BartForConditionalGeneration",
        "BartConfig",
        {
            "d_model": 16,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "decoder_ffn_dim": 32,
            "vocab_size": 40,
            "max_position_embeddings": 40,
        },
        "seq2seq",
        _QV_PROJ,
        False,
    ),
    "vit": _image("ViTModel", "ViTForImageClassification", "ViTConfig", *_QV_PROJ),
    "deit": _image("DeiTModel", "DeiTForImageClassification", "DeiTConfig", *_QV_PROJ),
    "dinov2": _image("Dinov2Model", "Dinov2ForImageClassification", "Dinov2Config", *_QV_PROJ),
    "beit": _image(
        "BeitForMaskedImageModeling",
        "BeitForImageClassification",
        "BeitConfig",
        *_QV_PROJ,
        vocab_size=40,
    ),
    "swin": Architecture(
        "SwinModel",
        "SwinForImageClassification",
        "SwinConfig",
        {
            "embed_dim": 8,
            "depths": [1, 1],
            "num_heads": [2, 2],
            "image_size": 16,
            "patch_size": 4,
            "window_size": 2,
        },
        "image",
        _QV_PROJ,
    ),
    "resnet": Architecture(
        "ResNetModel",
        "ResNetForImageClassification",
        "ResNetConfig",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
        "image",
        (),
    ),
    "convnext": Architecture(
        "ConvNextModel",
        "ConvNextForImageClassification",
        "ConvNextConfig",
        {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
        "image",
        (),
    ),
}


def build(name: str, folder: Path) -> Architecture:
    """Write ``bare``, ``saved``, two fine-tunes ``m1``, ``m2`` and two adapters ``l1``, ``l2``."""
    import transformers as hf

    entry = ARCHITECTURES[name]
    config = getattr(hf, entry.config)(**entry.options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        getattr(hf, entry.bare)(config).save_pretrained(folder / "bare")
        tuned = getattr(hf, entry.tuned)
        base = tuned.from_pretrained(folder / "bare")
        base.save_pretrained(folder / "saved")
        for number in (1, 2):
            heads = {"num_labels": 2 + number} if entry.labelled else {}
            model = tuned.from_pretrained(folder / "bare", **heads)
            _move(model, number)
            model.save_pretrained(folder / f"m{number}")
            if entry.targets:
                _adapter(
                    tuned.from_pretrained(folder / "bare", **heads), entry, number
                ).save_pretrained(folder / f"l{number}")
    return entry


def _move(model: torch.nn.Module, seed: int) -> None:
    """A stand-in for fine-tuning: every parameter moves a little."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.003 * torch.randn(value.shape, generator=generator))


def _adapter(model: torch.nn.Module, entry: Architecture, seed: int) -> Any:
    from peft import LoraConfig, get_peft_model

    options: dict[str, Any] = {"r": 2, "lora_alpha": 4, "target_modules": list(entry.targets)}
    if entry.labelled:
        heads = [
            n for n, _ in model.named_children() if n in ("classifier", "score", "pre_classifier")
        ]
        options["modules_to_save"] = heads
    adapted = get_peft_model(model, LoraConfig(**options))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return adapted
