"""A LoRA adapter is the task vector scaling·B·A on its base, whatever its patterns."""

from __future__ import annotations

import json
from math import sqrt

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mergecast.checkpoints import Checkpoint
from mergecast.errors import CheckpointError
from mergecast.family import Family

BASE = {
    "model.layers.0.q_proj.weight": torch.randn(8, 6),
    "model.layers.0.v_proj.weight": torch.randn(8, 6),
    "model.layers.1.q_proj.weight": torch.randn(8, 6),
    "model.embed.weight": torch.randn(10, 6),
    "model.conv.weight": torch.randn(4, 3, 2, 2),
    "model.gpt.weight": torch.randn(6, 8),
    "model.norm.weight": torch.randn(6),
}
P = "base_model.model.model."


def write(folder, config=None, tensors=None, rank=2):
    base = folder / "base.safetensors"
    save_file(BASE, base)
    adapter = folder / "adapter"
    adapter.mkdir(exist_ok=True)
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, **(config or {})}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    if tensors is None:
        tensors = pair("layers.0.q_proj", rank, 8, 6)
    save_file(
        {name: value.contiguous() for name, value in tensors.items()},
        adapter / "adapter_model.safetensors",
    )
    return base, adapter


def pair(module, rank, out_features, in_features):
    return {
        f"{P}{module}.lora_A.weight": torch.randn(rank, in_features),
        f"{P}{module}.lora_B.weight": torch.randn(out_features, rank),
    }


def product(tensors, module):
    return (
        tensors[f"{P}{module}.lora_B.weight"].double()
        @ tensors[f"{P}{module}.lora_A.weight"].double()
    ).numpy()


def opened(paths):
    base, adapter = paths
    return Checkpoint.open(adapter, base=Checkpoint.open(base))


def delta_of(checkpoint, name):
    base = BASE[name].numpy().reshape(-1)
    return checkpoint.delta(name, base).reshape(BASE[name].shape)


def test_delta_is_the_scaled_product_and_array_the_dense_merge(tmp_path):
    tensors = pair("layers.0.q_proj", 2, 8, 6)
    checkpoint = opened(write(tmp_path, tensors=tensors))
    name = "model.layers.0.q_proj.weight"
    expected = 8 / 2 * product(tensors, "layers.0.q_proj")
    np.testing.assert_allclose(delta_of(checkpoint, name), expected, rtol=1e-6)
    dense = (BASE[name].double().numpy() + expected).astype(np.float32)
    np.testing.assert_array_equal(checkpoint.array(name), dense)
    np.testing.assert_array_equal(checkpoint.floats(name, 5, 9), dense.reshape(-1)[5:9])
    assert checkpoint.rank(name) == 2
    assert checkpoint.rank("model.norm.weight") is None


@pytest.mark.parametrize(
    ("module", "config"), [("layers.0.q_proj", {}), ("gpt", {"fan_in_fan_out": True})]
)
def test_any_part_of_delta_is_that_of_the_whole(module, config, tmp_path):
    checkpoint = opened(write(tmp_path, config, pair(module, 2, 8, 6)))
    name = f"model.{module}.weight"
    whole = checkpoint.delta(name, np.zeros(48))
    for start in range(48):
        for stop in range(start, 49):
            part = checkpoint.delta(name, np.zeros(stop - start), start)
            np.testing.assert_allclose(part, whole[start:stop], rtol=1e-12)


def test_untouched_parameters_have_no_delta(tmp_path):
    checkpoint = opened(write(tmp_path))
    assert not delta_of(checkpoint, "model.norm.weight").any()
    assert not checkpoint.dense_update("model.norm.weight")
    assert checkpoint.dense_update("model.layers.0.q_proj.weight")
    np.testing.assert_array_equal(
        checkpoint.array("model.norm.weight"), BASE["model.norm.weight"].numpy()
    )


def test_rank_and_alpha_patterns_and_rslora_set_the_scale(tmp_path):
    tensors = {
        **pair("layers.0.q_proj", 2, 8, 6),
        **pair("layers.1.q_proj", 4, 8, 6),
        **pair("layers.0.v_proj", 2, 8, 6),
    }
    config = {
        "rank_pattern": {"layers.1.q_proj": 4},
        "alpha_pattern": {"v_proj": 3},
        "use_rslora": True,
    }
    checkpoint = opened(write(tmp_path, config, tensors))
    for module, scale in (
        ("layers.0.q_proj", 8 / sqrt(2)),
        ("layers.1.q_proj", 8 / 2),
        ("layers.0.v_proj", 3 / sqrt(2)),
    ):
        np.testing.assert_allclose(
            delta_of(checkpoint, f"model.{module}.weight"),
            scale * product(tensors, module),
            rtol=1e-5,
            atol=1e-6,
        )


def test_embedding_convolution_and_transposed_layers(tmp_path):
    a, b = torch.randn(2, 10), torch.randn(6, 2)
    ca, cb = torch.randn(2, 3, 2, 2), torch.randn(4, 2, 1, 1)
    tensors = {
        f"{P}embed.lora_embedding_A": a,
        f"{P}embed.lora_embedding_B": b,
        f"{P}conv.lora_A.weight": ca,
        f"{P}conv.lora_B.weight": cb,
    }
    checkpoint = opened(write(tmp_path, tensors=tensors))
    np.testing.assert_allclose(
        delta_of(checkpoint, "model.embed.weight"), 4 * (b @ a).T.numpy(), rtol=1e-5, atol=1e-6
    )
    expected = 4 * torch.einsum("or,rikl->oikl", cb[:, :, 0, 0], ca).numpy()
    np.testing.assert_allclose(
        delta_of(checkpoint, "model.conv.weight"), expected, rtol=1e-5, atol=1e-6
    )
    gpt = pair("gpt", 2, 8, 6)
    checkpoint = opened(write(tmp_path, {"fan_in_fan_out": True}, gpt))
    np.testing.assert_allclose(
        delta_of(checkpoint, "model.gpt.weight"), 4 * product(gpt, "gpt").T, rtol=1e-5, atol=1e-6
    )


def test_modules_to_save_replace_or_add_whole_parameters(tmp_path):
    norm, head = torch.randn(6), torch.randn(3, 6)
    tensors = {
        **pair("layers.0.q_proj", 2, 8, 6),
        f"{P}norm.weight": norm,
        "base_model.model.classifier.modules_to_save.weight": head,
    }
    paths = write(tmp_path, tensors=tensors)
    checkpoint = opened(paths)
    np.testing.assert_array_equal(checkpoint.array("model.norm.weight"), norm.numpy())
    np.testing.assert_allclose(
        delta_of(checkpoint, "model.norm.weight"), (norm - BASE["model.norm.weight"]).numpy()
    )
    assert checkpoint.info("classifier.weight").shape == (3, 6)
    family = Family.open(paths[0], [paths[1]])
    assert [e.name for e in family.private] == ["classifier.weight"]


def test_a_base_without_the_wrapper_prefix_is_matched(tmp_path):
    base = tmp_path / "inner.safetensors"
    save_file({"layers.0.q_proj.weight": torch.randn(8, 6)}, base)
    _, adapter = write(tmp_path)
    checkpoint = Checkpoint.open(adapter, base=Checkpoint.open(base))
    assert checkpoint.dense_update("layers.0.q_proj.weight")


def refuse(config=None, tensors=None):
    return lambda folder: write(folder, config, tensors)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (refuse({"use_dora": True}), "is DoRA, .*merge the adapter into its base"),
        (
            refuse(tensors={f"{P}layers.0.q_proj.lora_magnitude_vector.weight": torch.ones(8)}),
            "DoRA",
        ),
        (refuse({"peft_type": "IA3"}), "is an adapter of kind IA3"),
        (refuse({"peft_type": "PREFIX_TUNING"}), "changes no weight of it; leave it out"),
        (refuse({"lora_bias": True}), "LoRA with a bias on B"),
        (refuse({"r": None}), "has no number 'r'"),
        (refuse({"rank_pattern": {"q_proj": 5}}), "while the config says rank 5; fix r or rank"),
        (refuse(tensors=pair("layers.9.q_proj", 2, 8, 6)), "adapts 'model.layers.9.q_proj.weight'"),
        (refuse(tensors=pair("layers.0.q_proj", 2, 8, 7)), r"ΔW of .* is \[8, 7\], but the base's"),
        (refuse(tensors={f"{P}layers.0.q_proj.lora_A.weight": torch.ones(2, 6)}), "only factor A"),
        (refuse(tensors={f"{P}layers.0.q_proj.lora_C.weight": torch.ones(2, 6)}), "the tensor "),
    ],
)
def test_what_is_not_plain_lora_is_refused(make, message, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        opened(make(tmp_path))


def twice(*extra):
    return {**pair("layers.0.q_proj", 2, 8, 6), **dict(extra)}


INNER = {
    "base_model.model.layers.0.q_proj.lora_A.weight": torch.ones(2, 6),
    "base_model.model.layers.0.q_proj.lora_B.weight": torch.ones(8, 2),
}
NORM = {f"{P}norm.weight": torch.ones(6), f"{P}norm.modules_to_save.weight": torch.zeros(6)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (refuse({"r": 0}), "'r' is 0, not a rank of 1 or more"),
        (refuse({"r": 2.5}), "'r' is 2.5, not a rank"),
        (refuse({"r": True}), "has no number 'r', but True"),
        (refuse({"r": float("inf")}), "'r' is inf, not finite"),
        (refuse({"lora_alpha": float("nan")}), "'lora_alpha' is nan, not finite"),
        (refuse({"alpha_pattern": {"q_proj": "big"}}), r"no number 'alpha_pattern\[q_proj\]'"),
        (refuse({"alpha_pattern": {"q_proj": float("inf")}}), "is inf, not finite"),
        (refuse({"rank_pattern": {"q_proj": 0}}), r"'rank_pattern\[q_proj\]' is 0, not a rank"),
        (refuse({"rank_pattern": {"q_proj": None}}), "has no number 'rank_pattern"),
        (refuse({"rank_pattern": {"(": 2}}), "pattern '\\(' of 'rank_pattern' is not a regex"),
        (refuse({"alpha_pattern": ["q_proj"]}), "'alpha_pattern' is a list, not a mapping"),
        (
            refuse(tensors=twice((f"{P}layers.0.q_proj.lora_A.weight", torch.tensor(1.0)))),
            "not mat",
        ),
        (refuse(tensors=twice((f"{P}layers.0.q_proj.lora_B.weight", torch.ones(2)))), "not matri"),
        (refuse(tensors=twice(*INNER.items())), "0.q_proj.weight' twice"),
        (
            refuse(tensors=twice((f"{P}layers.0.q_proj.base_layer.weight", torch.ones(8, 6)))),
            "changes the base's 'model.layers.0.q_proj.weight' twice",
        ),
        (refuse(tensors=NORM), "changes the base's 'model.norm.weight' twice"),
    ],
)
def test_a_malformed_adapter_is_refused_by_name(make, message, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        opened(make(tmp_path))


def test_an_adapter_needs_its_base_its_config_and_its_weights(tmp_path):
    base, adapter = write(tmp_path)
    with pytest.raises(CheckpointError, match="is a LoRA adapter; open it with its base"):
        Checkpoint.open(adapter)
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="has no adapter_model"):
        opened((base, adapter))
    (adapter / "adapter_config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="is not a PEFT config"):
        opened((base, adapter))
