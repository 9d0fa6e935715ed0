"""ΔW of adapters that PEFT itself wrote equals PEFT's own dense merge."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mergecast.checkpoints import Checkpoint
from mergecast.errors import CheckpointError

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
peft = pytest.importorskip("peft", reason="needs the hf extra")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves


def tiny_bert():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=12,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config)


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


def adapter_of(model, folder, **settings):
    """A trained-looking adapter in `folder`; returns PEFT's own merge of what is loaded again."""
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=3, lora_alpha=6, **settings))
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=draw))
    adapted.save_pretrained(folder / "adapter")
    again = type(model).from_pretrained(folder / "base")
    merged = peft.PeftModel.from_pretrained(again, folder / "adapter").merge_and_unload()
    merged.save_pretrained(folder / "merged")
    return Checkpoint.open(folder / "merged")


def equal(folder, merged):
    base = Checkpoint.open(folder / "base")
    checkpoint = Checkpoint.open(folder / "adapter", base=base)
    for name in base.names:
        np.testing.assert_allclose(
            checkpoint.array(name), merged.array(name), atol=2e-5, err_msg=name
        )
        delta = checkpoint.delta(name, base.floats(name))
        parts = [
            checkpoint.delta(name, base.floats(name, start, start + 7), start)
            for start in range(0, min(14, delta.size - 7), 7)
        ]
        for number, part in enumerate(parts):
            np.testing.assert_allclose(part, delta[7 * number : 7 * number + 7], atol=1e-6)


@pytest.mark.parametrize("kind", ["pissa", "olora"])
def test_what_an_initialisation_took_out_of_the_base_is_put_back(kind, tmp_path):
    tiny_bert().save_pretrained(tmp_path / "base")
    model = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "base")
    merged = adapter_of(model, tmp_path, target_modules=["query"], init_lora_weights=kind)
    equal(tmp_path, merged)


@pytest.mark.parametrize("kind", ["loftq", "corda", "lora_ga", "pissa_niter_4", "unheard_of"])
def test_an_initialisation_that_cannot_be_computed_again_is_refused(kind, tmp_path):
    tiny_bert().save_pretrained(tmp_path / "base")
    model = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "base")
    adapter_of(model, tmp_path, target_modules=["query"])
    path = tmp_path / "adapter/adapter_config.json"
    config = json.loads(path.read_text()) | {"init_lora_weights": kind}
    path.write_text(json.dumps(config))
    base = Checkpoint.open(tmp_path / "base")
    with pytest.raises(CheckpointError, match=rf"initialisation \({kind}\) took a part out"):
        Checkpoint.open(tmp_path / "adapter", base=base)


@pytest.mark.parametrize("modules", [["attn.c_proj", "score"], ["c_attn", "mlp.c_fc", "score"]])
def test_each_module_of_gpt2_has_its_own_layout(modules, tmp_path):
    config = transformers.GPT2Config(
        n_embd=16, n_layer=2, n_head=2, vocab_size=40, n_positions=20, pad_token_id=0
    )
    torch.manual_seed(0)
    transformers.GPT2ForSequenceClassification(config).save_pretrained(tmp_path / "base")
    model = transformers.GPT2ForSequenceClassification.from_pretrained(tmp_path / "base")
    equal(tmp_path, adapter_of(model, tmp_path, target_modules=modules))


def tiny_llama(folder, kind="LlamaForCausalLM", *, tied):
    """A model of transformers as its own base, saved in `folder`."""
    config = transformers.LlamaConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        intermediate_size=24, vocab_size=40, tie_word_embeddings=tied, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return getattr(transformers, kind).from_pretrained(folder)


@pytest.mark.parametrize("modules", [["lm_head"], ["embed_tokens"], ["q_proj", "lm_head"]])
def test_embeddings_that_peft_stores_beside_their_factors_are_no_change(modules, tmp_path):
    model = tiny_llama(tmp_path / "base", tied=False)
    equal(tmp_path, adapter_of(model, tmp_path, target_modules=modules))


@pytest.mark.parametrize(
    "given",
    [
        {"target_modules": ["lm_head"]},
        {"target_modules": ["embed_tokens"], "task_type": "CAUSAL_LM"},
        {"target_modules": ["q_proj", "embed_tokens"]},
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_adapters_of_embeddings_that_answer_too_are_refused(given, named, tmp_path):
    adapter_of(tiny_llama(tmp_path / "base", tied=True), tmp_path, **given)
    if not named:  # a config alone, as some converters write it
        path = tmp_path / "base" / "config.json"
        config = json.loads(path.read_text())
        del config["architectures"]
        path.write_text(json.dumps(config | {"tie_word_embeddings": True}))
    base = Checkpoint.open(tmp_path / "base")
    with pytest.raises(CheckpointError, match="input embeddings and output layer are one tensor"):
        Checkpoint.open(tmp_path / "adapter", base=base)


@pytest.mark.parametrize("told", [{"task_type": "SEQ_CLS"}, {}])
def test_a_classifier_on_a_language_model_has_no_output_layer_to_move(told, tmp_path):
    model = tiny_llama(tmp_path / "base", "LlamaForSequenceClassification", tied=True)
    adapter_of(model, tmp_path, target_modules=["embed_tokens"], **told)
    base = Checkpoint.open(tmp_path / "base")
    assert Checkpoint.open(tmp_path / "adapter", base=base).updates.keys() == {
        "model.embed_tokens.weight"
    }


def test_modules_that_transformers_renamed_are_found_in_older_checkpoints(tmp_path):
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        image_size=16, patch_size=8,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "base")
    model = transformers.ViTForImageClassification.from_pretrained(tmp_path / "base")
    queries = [n for n, m in model.named_modules() if "layers.0" in n and n.endswith("q_proj")]
    names = Checkpoint.open(tmp_path / "base").names
    assert not queries or f"{queries[0]}.weight" not in names
    modules = ["q_proj", "v_proj"] if queries else ["query", "value"]
    equal(tmp_path, adapter_of(model, tmp_path, target_modules=modules))


def test_a_quantised_base_is_named_as_one(tmp_path):
    tiny_bert().save_pretrained(tmp_path / "base")
    model = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "base")
    adapter_of(model, tmp_path, target_modules=["query"])
    state = load_file(tmp_path / "base/model.safetensors")
    codes = {n: (v * 100).to(torch.uint8) if "query.weight" in n else v for n, v in state.items()}
    save_file(codes, tmp_path / "base/model.safetensors")
    base = Checkpoint.open(tmp_path / "base")
    with pytest.raises(CheckpointError, match="stores as uint8: a quantised base"):
        Checkpoint.open(tmp_path / "adapter", base=base)
