"""A base and LoRA adapters of it on disk, of several architectures, for tests of their merges."""

from __future__ import annotations

import peft
import torch
import transformers

LLAMA = transformers.LlamaConfig(
    vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2,
)  # fmt: skip
GPT2 = transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=40, n_positions=20)
BERT = transformers.BertConfig(
    vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=24, max_position_embeddings=20, num_labels=3,
)  # fmt: skip
RESNET = transformers.ResNetConfig(
    num_channels=3, embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic"
)
A = {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
B = {**A, "r": 3, "target_modules": ["q_proj", "down_proj"], "use_rslora": True}


def adapters(folder, model_class, config, *settings):
    """A base and adapters a, b, … of it, as transformers and PEFT save them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model_class(config).save_pretrained(folder / "base")
        labels = "abc"[: len(settings)]
        for seed, (label, one) in enumerate(zip(labels, settings, strict=True)):
            model = model_class.from_pretrained(folder / "base")
            model = peft.get_peft_model(model, peft.LoraConfig(**one))
            draw = torch.Generator().manual_seed(seed + 5)
            with torch.no_grad():
                for value in model.parameters():
                    if value.requires_grad:
                        # An adapter of an embedding begins with a B of norm 1 an entry.
                        value.mul_(0.1 if value.std() > 0.5 else 1)
                        value.add_(0.1 * torch.randn(value.shape, generator=draw))
            model.save_pretrained(folder / label)
    return folder / "base", [folder / label for label in labels]


def classifiers(folder, base_class, config, members):
    """A base and adapters of it; of each label, its class, number of labels and PEFT's settings.

    The base's weights are so large that attention is not flat, and the answers hang on them.
    """
    config = type(config)(**{**config.to_dict(), "initializer_range": 0.2})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base_class(config).save_pretrained(folder / "base")
        for seed, (label, (model_class, count, settings)) in enumerate(members.items()):
            model = loaded(model_class, folder / "base", count)
            model = peft.get_peft_model(model, peft.LoraConfig(**settings))
            draw = torch.Generator().manual_seed(seed + 5)
            with torch.no_grad():
                for value in model.parameters():
                    if value.requires_grad:
                        value.add_(0.1 * torch.randn(value.shape, generator=draw))
            model.save_pretrained(folder / label)
    return folder / "base", {label: folder / label for label in members}


def loaded(model_class, base, count):
    """A base under a task of so many classes, as people load it before they put an adapter on."""
    return model_class.from_pretrained(base, num_labels=count, ignore_mismatched_sizes=True)


def llamas_of(folder):
    """A Llama and two adapters of different ranks and modules."""
    return adapters(folder, transformers.LlamaForCausalLM, LLAMA, A, B)
