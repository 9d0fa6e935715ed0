"""ΔW of adapters that PEFT itself wrote equals PEFT's own dense merge."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mergecast.checkpoints import Checkpoint

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
peft = pytest.importorskip("peft", reason="needs the hf extra")


def tiny_bert():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=12,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config)


@pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
@pytest.mark.parametrize("settings", [
    {"target_modules": ["query", "value"]},
    {"target_modules": ["query", "dense"], "use_rslora": True,
     "rank_pattern": {"layer.1.attention.self.query": 5},
     "alpha_pattern": {"layer.0.intermediate.dense": 3}},
    {"target_modules": ["query", "word_embeddings"], "bias": "lora_only"},
])  # fmt: skip
def test_delta_equals_peft_s_dense_merge(settings, tmp_path):
    model = tiny_bert()
    model.save_pretrained(tmp_path / "base")
    base = Checkpoint.open(tmp_path / "base")
    config = peft.LoraConfig(r=3, lora_alpha=6, task_type="SEQ_CLS", **settings)
    adapted = peft.get_peft_model(model, config)
    torch.manual_seed(1)
    for _, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            parameter.data = 0.1 * torch.randn_like(parameter)
    adapted.save_pretrained(tmp_path / "adapter")
    checkpoint = Checkpoint.open(tmp_path / "adapter", base=base)
    dense = adapted.merge_and_unload().state_dict()
    touched = 0
    for name, info in base.infos.items():
        merged = dense[name].numpy()
        np.testing.assert_allclose(checkpoint.array(name), merged, atol=1e-6, err_msg=name)
        delta = checkpoint.delta(name, base.floats(name)).reshape(info.shape)
        np.testing.assert_allclose(delta, merged - base.array(name), atol=1e-6, err_msg=name)
        touched += bool(delta.any())
    assert touched >= 4
