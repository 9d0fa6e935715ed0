"""What no LoRA adapter holds is refused by name before a folder is written."""

from __future__ import annotations

import json
import logging

import pytest
from safetensors.torch import load_file, save_file

import mergecast as mc
from mergecast.errors import CheckpointError, FamilyError, UsageError

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
pytest.importorskip("peft", reason="needs the hf extra")
from adapter_case import GPT2, adapters, llamas_of  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves


@pytest.fixture
def llamas(tmp_path):
    return llamas_of(tmp_path)


def test_a_whole_model_among_adapters_is_refused_by_name(tmp_path, llamas):
    base, [a, _] = llamas
    whole = mc.write_merge(mc.Family.open(base, [a]), "linear", tmp_path / "whole")
    with pytest.raises(FamilyError, match="model 'whole': .* is no LoRA adapter of the base"):
        mc.write_merge(mc.Family.open(base, [a, whole]), "linear", tmp_path / "out", adapter=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rank", [0, -1, 1.5, True])
def test_a_rank_that_is_none_is_refused(rank, tmp_path, llamas):
    with pytest.raises(UsageError, match="give a whole number, 1 or more"):
        mc.write_merge(mc.Family.open(*llamas), "linear", tmp_path / "out", adapter=True, rank=rank)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rank": 3}, "rank: is 3 without adapter; ask for an adapter"),
        ({"adapter": True, "heads": True}, "heads: no model has one of its own; leave heads out"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, said, tmp_path, llamas):
    with pytest.raises(UsageError, match=said):
        mc.write_merge(mc.Family.open(*llamas), "linear", tmp_path / "out", **settings)


def test_a_vocabulary_is_refused_with_heads_or_without(tmp_path, llamas):
    base, models = llamas
    for folder in (base, *models):
        (folder / "vocab.json").write_text(json.dumps({f"t{one}": one for one in range(40)}))
    family = mc.Family.open(base, models, vocabulary="base")
    for heads in (False, True):
        with pytest.raises(UsageError, match="adapter: given with vocabulary, .* leave one"):
            mc.write_merge(family, "linear", tmp_path / "out", adapter=True, heads=heads)
    assert not (tmp_path / "out").exists()


def test_a_merge_that_changes_more_than_adapters_do_is_refused(tmp_path, llamas):
    recipe = {"method": "linear", "params": {"normalize": False}, "weights": {"a": 1, "b": 1}}
    with pytest.raises(FamilyError, match="no adapter changes it, but linear.* does .* add up to"):
        mc.write_merge(mc.Family.open(*llamas), recipe, tmp_path / "out", adapter=True)
    assert not (tmp_path / "out").exists()


def test_adapters_of_differently_called_modules_are_refused(tmp_path, llamas):
    base, [a, b] = llamas
    path = b / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file(
        {n.replace(".model.model.", ".model.net.model."): v for n, v in tensors.items()}, path
    )
    with pytest.raises(FamilyError, match="models 'a' and 'b': adapt the base's .* as different"):
        mc.write_merge(mc.Family.open(base, [a, b]), "linear", tmp_path / "out", adapter=True)


def test_what_peft_would_not_put_on_a_base_is_refused(tmp_path, llamas):
    base, [a, _] = llamas
    path = a / "adapter_model.safetensors"
    tensors = load_file(path)
    norm = load_file(base / "model.safetensors")["model.norm.weight"]
    save_file({**tensors, "base_model.model.model.norm.weight": norm + 1}, path)
    with pytest.raises(CheckpointError, match="'model.norm.weight' whole, outside its modules_to"):
        mc.write_merge(mc.Family.open(base, [a]), "linear", tmp_path / "out", adapter=True)


def test_tied_embeddings_held_whole_are_refused(tmp_path, caplog):
    base, models = adapters(
        tmp_path, transformers.GPT2LMHeadModel, GPT2,
        {"r": 2, "target_modules": ["c_attn"], "modules_to_save": ["wte"]},
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        mc.write_merge(mc.Family.open(base, models), "linear", tmp_path / "one", adapter=True)
    assert "transformer.wte.weight is an embedding: where the model ties" in caplog.text
    stored = load_file(base / "model.safetensors")
    stored["lm_head.weight"] = stored["transformer.wte.weight"].clone()
    save_file(stored, base / "model.safetensors")
    with pytest.raises(CheckpointError, match="whole, which the base ties to another parameter"):
        mc.write_merge(mc.Family.open(base, models), "linear", tmp_path / "out", adapter=True)


def test_an_input_is_never_replaced(tmp_path, llamas):
    base, [a, b] = llamas
    before = (a / "adapter_model.safetensors").read_bytes()
    with pytest.raises(UsageError, match="is the input"):
        mc.write_merge(mc.Family.open(base, [a, b]), "linear", a, adapter=True, overwrite=True)
    assert (a / "adapter_model.safetensors").read_bytes() == before


@pytest.mark.parametrize("heads", [False, True])
def test_nothing_to_merge_is_refused(heads, tmp_path, llamas):
    family = mc.Family.open(*llamas, private=["*_proj.weight"])
    with pytest.raises(FamilyError, match="change no parameter that is merged;"):
        mc.write_merge(family, "linear", tmp_path / "out", adapter=True, heads=heads)


def test_an_adapter_without_factors_is_refused(tmp_path):
    """What is merged is held whole alone: PEFT makes no LoRA that adapts nothing."""
    base, models = adapters(
        tmp_path, transformers.GPT2LMHeadModel, GPT2,
        {"r": 2, "target_modules": ["c_attn"], "modules_to_save": ["ln_f"]},
    )  # fmt: skip
    family = mc.Family.open(base, models, private=["*c_attn*"])
    with pytest.raises(FamilyError, match="change no parameter that is merged by factors"):
        mc.write_merge(family, "linear", tmp_path / "out", adapter=True)
