"""A merge of LoRA adapters as an adapter: PEFT loads it, and it answers as the whole merge does."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import mergecast as mc
from mergecast.checkpoints import Checkpoint
from mergecast.cli.main import run

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
peft = pytest.importorskip("peft", reason="needs the hf extra")
from adapter_case import BERT, GPT2, LLAMA, RESNET, A, adapters, llamas_of  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
logging.getLogger("transformers").setLevel(logging.ERROR)


@pytest.fixture
def llamas(tmp_path):
    return llamas_of(tmp_path)


def answers(model):
    model.eval()
    inputs = {"input_ids": torch.arange(30).reshape(2, 15)}
    if isinstance(model.get_base_model() if hasattr(model, "peft_config") else model,
                  transformers.ResNetForImageClassification):  # fmt: skip
        inputs = {"pixel_values": torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)}
    with torch.no_grad():
        return model(**inputs).logits


def both(folder, model_class, base, models, method, **settings):
    """Answers of the whole merge, of the adapter as PEFT loads it; and the adapter's folder."""
    family = mc.Family.open(base, models)
    whole = mc.write_merge(family, method, folder / "whole")
    out = mc.write_merge(family, method, folder / "lora", adapter=True, **settings)
    loaded = peft.PeftModel.from_pretrained(model_class.from_pretrained(base), out)
    return answers(model_class.from_pretrained(whole)), answers(loaded), out


def told(out):
    return json.loads((out / "mergecast.json").read_text())["adapter"]


def moved(base, answered):
    return (answers(transformers.LlamaForCausalLM.from_pretrained(base)) - answered).abs().max()


@pytest.mark.parametrize("method", ["linear", "weight_avg", "task_arithmetic(scaling=0.7)",
                                    "linear(weights={a: 1.5, b: -0.5})"])  # fmt: skip
def test_a_linear_merge_is_the_adapter_exactly(method, tmp_path, llamas):
    base, models = llamas
    whole, adapter, out = both(tmp_path, transformers.LlamaForCausalLM, base, models, method)
    torch.testing.assert_close(adapter, whole, atol=1e-5, rtol=0)
    assert moved(base, whole) > 1e-3
    ranks = told(out)["ranks"]
    assert {name.rpartition(".")[2]: rank for name, rank in ranks.items()} == {
        "q_proj": 5, "v_proj": 2, "down_proj": 3,
    }  # fmt: skip
    assert told(out)["energy"] == pytest.approx(1, abs=1e-10)
    assert sorted(file.name for file in out.iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "mergecast.json",
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["ties", "dare", "tsv"])
def test_another_merge_is_its_nearest_matrices_and_says_what_they_hold(method, tmp_path, llamas):
    base, models = llamas
    whole, adapter, out = both(tmp_path, transformers.LlamaForCausalLM, base, models, method)
    said = told(out)
    merged, plain = Checkpoint.open(tmp_path / "whole"), Checkpoint.open(base)
    held = Checkpoint.open(out, base=plain)
    lost, energies = {}, {}
    for name in plain.names:
        stored = plain.array(name).astype(np.float64)
        delta = merged.array(name) - stored
        if not np.abs(delta).max():
            continue
        module = name.removesuffix(".weight")
        values = np.linalg.svd(delta, compute_uv=False)
        rest = delta.reshape(-1) - held.delta(name, plain.floats(name))
        energies[module], lost[module] = (delta**2).sum(), (rest**2).sum()
        left_over = (values[said["ranks"][module] :] ** 2).sum()
        assert lost[module] == pytest.approx(left_over, rel=1e-3, abs=1e-10)
    assert said["ranks"].keys() == energies.keys()
    share = 1 - sum(lost.values()) / sum(energies.values())
    assert said["energy"] == pytest.approx(share, abs=1e-5)
    worst = min(lost, key=lambda module: 1 - lost[module] / energies[module])
    if method != "tsv":  # of full rank, so that something is lost
        assert said["worst_matrix"] == worst
        assert 0.3 < said["worst_energy"] <= said["energy"] < 0.999
        assert (adapter - whole).abs().max() > 1e-5


def test_a_rank_that_holds_all_of_any_merge_is_exact(tmp_path, llamas):
    whole, adapter, out = both(tmp_path, transformers.LlamaForCausalLM, *llamas, "ties", rank=100)
    torch.testing.assert_close(adapter, whole, atol=1e-5, rtol=0)
    assert max(told(out)["ranks"].values()) == 32


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_a_lower_rank_cuts_every_matrix_that_has_more(rank, tmp_path, llamas):
    base, models = llamas
    _, _, out = both(tmp_path, transformers.LlamaForCausalLM, base, models, "linear", rank=rank)
    said, full = told(out), {"q_proj": 5, "v_proj": 2, "down_proj": 3}
    for module, got in said["ranks"].items():
        assert got == min(rank, full[module.rpartition(".")[2]])
    assert 0.2 < said["worst_energy"] < said["energy"] < 1
    assert said["asked_rank"] == rank


CASES = {
    "conv1d": (
        transformers.GPT2LMHeadModel, GPT2,
        {"r": 2, "target_modules": ["c_attn", "mlp.c_proj"], "fan_in_fan_out": True},
        {"r": 3, "target_modules": ["c_attn"], "fan_in_fan_out": True},
    ),
    "embedding": (
        transformers.BertForSequenceClassification, BERT,
        {"r": 2, "target_modules": ["query", "word_embeddings"], "modules_to_save": None},
        {"r": 2, "target_modules": ["word_embeddings"]},
    ),
    "head": (
        transformers.BertForSequenceClassification, BERT,
        {"r": 2, "target_modules": ["query"], "task_type": "SEQ_CLS"},
        {"r": 2, "target_modules": ["value"], "task_type": "SEQ_CLS"},
    ),
    "head of one": (
        transformers.BertForSequenceClassification, BERT,
        {"r": 2, "target_modules": ["query"], "modules_to_save": ["classifier"]},
        {"r": 2, "target_modules": ["query"]},
    ),
    "biases": (
        transformers.BertForSequenceClassification, BERT,
        {"r": 2, "target_modules": ["query"], "bias": "all"},
        {"r": 2, "target_modules": ["query"], "bias": "none"},
    ),
    "layer saved by one, adapted by the other": (
        transformers.BertForSequenceClassification, BERT,
        {"r": 2, "target_modules": ["query"], "modules_to_save": ["pooler.dense"]},
        {"r": 2, "target_modules": ["query", "pooler.dense"]},
    ),
    "initialised from the base": (
        transformers.LlamaForCausalLM, LLAMA,
        {**A, "init_lora_weights": "olora"}, {**A, "init_lora_weights": "pissa"},
    ),
    "convolution": (
        transformers.ResNetForImageClassification, RESNET,
        {"r": 2, "target_modules": ["convolution"]}, {"r": 1, "target_modules": ["convolution"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_module_is_written_where_peft_has_it(case, tmp_path):
    model_class, config, *settings = CASES[case]
    base, models = adapters(tmp_path, model_class, config, *settings)
    whole, adapter, out = both(tmp_path, model_class, base, models, "linear")
    torch.testing.assert_close(adapter, whole, atol=2e-5, rtol=0)
    assert (whole - answers(model_class.from_pretrained(base))).abs().max() > 1e-3
    plain = Checkpoint.open(base)
    again, merged = Checkpoint.open(out, base=plain), Checkpoint.open(tmp_path / "whole")
    for name in plain.names:
        np.testing.assert_allclose(again.array(name), merged.array(name), atol=2e-6, err_msg=name)


def test_a_head_that_the_base_lacks_is_left_out_and_that_is_said(tmp_path, caplog):
    _, models = adapters(
        tmp_path, transformers.BertForSequenceClassification, BERT, CASES["head"][2]
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertForPreTraining(BERT).save_pretrained(tmp_path / "encoder")
    family = mc.Family.open(tmp_path / "encoder", models)
    with caplog.at_level(logging.WARNING):
        out = mc.write_merge(family, "linear", tmp_path / "out", adapter=True)
    assert "a: its classifier is left out: the adapter answers with the head of" in caplog.text
    config = json.loads((out / "adapter_config.json").read_text())
    assert (config["task_type"], config["modules_to_save"]) == (None, None)
    assert not any("classifier" in name for name in load_file(out / "adapter_model.safetensors"))
    model = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "encoder")
    loaded = peft.PeftModel.from_pretrained(model, out)
    assert sum("lora_A" in name for name, _ in loaded.named_parameters()) == 2


def test_a_file_of_another_library_is_a_member_too(tmp_path, llamas):
    """kohya's names lead to the same modules as PEFT's."""
    base, [a, b] = llamas
    tensors = load_file(b / "adapter_model.safetensors")
    config = json.loads((b / "adapter_config.json").read_text())
    kohya = {}
    for name, value in tensors.items():
        module, _, side = name.removeprefix("base_model.model.").rpartition(".lora_")
        flat = f"lora_unet_{module.replace('.', '_')}"
        kohya[f"{flat}.lora_{'down' if side.startswith('A') else 'up'}.weight"] = value
        kohya[f"{flat}.alpha"] = torch.tensor(config["lora_alpha"] * config["r"] ** 0.5)
    save_file(kohya, tmp_path / "b.safetensors")
    outs = [
        mc.write_merge(mc.Family.open(base, [a, one]), "linear", tmp_path / name, adapter=True)
        for name, one in (("peft", b), ("kohya", tmp_path / "b.safetensors"))
    ]
    one, other = (load_file(out / "adapter_model.safetensors") for out in outs)
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_factors_are_stored_as_asked_and_what_rounding_loses_is_in_the_energy(
    dtype, tmp_path, llamas
):
    out = mc.write_merge(
        mc.Family.open(*llamas), "linear", tmp_path / "out", adapter=True, dtype=dtype
    )
    stored = load_file(out / "adapter_model.safetensors")
    assert {value.dtype for value in stored.values()} == {getattr(torch, dtype)}
    assert 0.9999 < told(out)["energy"] < 1 - 1e-9


def test_an_untrained_adapter_holds_nothing_and_no_share_of_it(tmp_path, llamas):
    base, [a, _] = llamas
    path = a / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file({n: v * (0 if "lora_B" in n else 1) for n, v in tensors.items()}, path)
    out = mc.write_merge(mc.Family.open(base, [a]), "linear", tmp_path / "out", adapter=True)
    assert told(out)["energy"] is told(out)["worst_energy"] is told(out)["worst_matrix"] is None
    assert set(told(out)["ranks"].values()) == {1}


def test_the_command_says_what_the_adapter_holds_and_the_card_too(tmp_path, llamas, capsys):
    base, models = llamas
    (base / "tokenizer.json").write_text("{}")
    (base / "chat_template.jinja").write_text("x")
    arguments = ["merge", "--method", "ties", "--adapter", "--rank", "2", str(base),
                 *map(str, models), "-o", str(tmp_path / "out")]  # fmt: skip
    assert run(arguments) == 0
    printed = capsys.readouterr().out
    said = told(tmp_path / "out")
    assert "adapter 6 matrices of rank 2\n" in printed
    energy = f"{said['energy']:.6f} of the merged delta's energy (its squared norm) is kept"
    assert energy in printed
    assert f"{said['worst_energy']:.6f}, of {said['worst_matrix']}" in printed
    assert "head    the adapter carries no task's head" in printed
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"tokenizer.json", "chat_template.jinja"} <= names
    assert "config.json" not in names
    card = (tmp_path / "out" / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["base_model"] == str(base)
    assert (front["library_name"], front["base_model_relation"]) == ("peft", "adapter")
    assert energy in card
    assert "6 matrices of rank 2." in card
    assert run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["adapter"] == said


def test_the_base_is_called_as_its_adapters_call_it_if_that_leads_somewhere(tmp_path, llamas):
    base, models = llamas
    for name, expected in (("org/llama", "org/llama"), ("/gone/llama", str(base))):
        for model in models:
            path = model / "adapter_config.json"
            config = json.loads(path.read_text()) | {
                "base_model_name_or_path": name, "revision": "v1",
            }  # fmt: skip
            path.write_text(json.dumps(config))
        out = mc.write_merge(mc.Family.open(base, models), "linear", tmp_path / "out", adapter=True)
        config = json.loads((out / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == expected
        assert config["revision"] == ("v1" if expected == name else None)


def test_a_mergekit_file_of_adapters_becomes_one(tmp_path, llamas):
    base, [a, b] = llamas
    (tmp_path / "m.yml").write_text(
        f"merge_method: task_arithmetic\nbase_model: {base}\nparameters: {{weight: 0.5}}\n"
        f"models:\n- model: {a}\n- model: {b}\n"
    )
    out = tmp_path / "out"
    assert run(["merge", "--mergekit", str(tmp_path / "m.yml"), "--adapter", "-o", str(out)]) == 0
    assert told(out)["energy"] == pytest.approx(1, abs=1e-10)
