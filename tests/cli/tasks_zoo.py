"""A small zoo of transformers' models for tests of task files, and a draft of a file for it."""

from __future__ import annotations

import pytest
import torch

from mergecast.cli.main import run

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
peft = pytest.importorskip("peft", reason="needs the hf extra")
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 40,
    "max_position_embeddings": 40,
}
NAMES = ["sport", "politics", "yes: no #1"]


def tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", *(f"w{i}" for i in range(30))]
    built = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=built, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder)


def moved(folder, cls, seed, **options):
    """A fine-tune of the base in `folder`: every parameter moves a little."""
    generator = torch.Generator().manual_seed(seed)
    model = getattr(transformers, cls).from_pretrained(folder, **options)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.003 * torch.randn(value.shape, generator=generator))
    return model


def made_zoo(folder):
    """A bare BERT, a topic classifier, a regression, an adapter and a question answerer."""
    base = folder / "base"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(transformers.BertConfig(**SIZES)).save_pretrained(base)
        tokenizer(base)
        tuned = "BertForSequenceClassification"
        topics = moved(base, tuned, 1, id2label=dict(enumerate(NAMES)))
        topics.save_pretrained(folder / "topics")
        moved(base, tuned, 2, num_labels=1).save_pretrained(folder / "rating")
        moved(base, "BertForQuestionAnswering", 3).save_pretrained(folder / "answers")
        config = peft.LoraConfig(r=2, target_modules=["query"], task_type="SEQ_CLS")
        peft.get_peft_model(moved(base, tuned, 4, num_labels=4), config).save_pretrained(
            folder / "lora"
        )
    return folder


def draft(zoo, out, *labels, more=()):
    paths = [str(zoo / label) for label in ("base", *labels)]
    return run(["tasks", "init", *paths, "-o", str(out), *more])
