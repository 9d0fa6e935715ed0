"""LoRA files of diffusers and kohya on their base, as the arithmetic of LoRA says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.errors import CheckpointError

MODULE = "down_blocks.0.attentions.0.to_q"
CONV = "down_blocks.0.resnets.0.conv1"


@pytest.fixture
def base(tmp_path):
    draw = torch.Generator().manual_seed(0)
    tensors = {
        f"{MODULE}.weight": torch.randn(6, 8, generator=draw),
        f"{CONV}.weight": torch.randn(4, 5, 3, 3, generator=draw),
    }
    save_file(tensors, tmp_path / "base.safetensors")
    return Checkpoint.open(tmp_path / "base.safetensors")


def factors(rank=2):
    draw = torch.Generator().manual_seed(1)
    shapes = {"A": (rank, 8), "B": (6, rank), "down": (rank, 5, 3, 3), "up": (4, rank, 1, 1)}
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def delta(base, path, name):
    checkpoint = Checkpoint.open(path, base=base)
    return checkpoint.array(name) - base.array(name)


@pytest.mark.parametrize("style", ["peft", "kohya", "processor"])
def test_linear_factors_under_every_way_to_write_them(style, base, tmp_path):
    f = factors()
    names = {
        "peft": (f"unet.{MODULE}.lora_A.weight", f"unet.{MODULE}.lora_B.weight"),
        "kohya": tuple(
            f"lora_unet_{MODULE.replace('.', '_')}.lora_{end}.weight" for end in ("down", "up")
        ),
        "processor": tuple(
            f"down_blocks.0.attentions.0.processor.to_q_lora.{end}.weight"
            for end in ("lora_down", "lora_up")
        ),
    }[style]
    save_file(dict(zip(names, (f["A"], f["B"]), strict=True)), tmp_path / "l.safetensors")
    want = (f["B"] @ f["A"]).numpy()
    got = delta(base, tmp_path / "l.safetensors", f"{MODULE}.weight")
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_alpha_beside_the_factors_scales_them(base, tmp_path):
    f, stem = factors(), f"lora_unet_{CONV.replace('.', '_')}"
    save_file(
        {
            f"{stem}.lora_down.weight": f["down"],
            f"{stem}.lora_up.weight": f["up"],
            f"{stem}.alpha": torch.tensor(1.0),
        },
        tmp_path / "l.safetensors",
    )
    want = 0.5 * torch.einsum("orxy,rihw->oihw", f["up"], f["down"]).numpy()
    got = delta(base, tmp_path / "l.safetensors", f"{CONV}.weight")
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_modules_of_another_part_are_said(base, tmp_path):
    f = factors()
    tensors = {f"unet.{MODULE}.lora_A.weight": f["A"], f"unet.{MODULE}.lora_B.weight": f["B"]}
    other = "text_encoder.layers.0.q_proj"
    tensors |= {f"{other}.lora_A.weight": f["A"] + 1, f"{other}.lora_B.weight": f["B"] + 1}
    save_file(tensors, tmp_path / "l.safetensors")
    [note] = Checkpoint.open(tmp_path / "l.safetensors", base=base).notes
    assert "1 adapted module(s) are of another part, first 'text_encoder.layers.0.q_proj'" in note


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"unet.x.lora_A.weight": torch.ones(2, 8)}, "none of which the base"),
        (
            {f"unet.{MODULE}.lora_A.weight": torch.ones(2, 8)},
            "has only one factor",
        ),
        (
            {
                f"unet.{MODULE}.lora_A.weight": torch.ones(2, 9),
                f"unet.{MODULE}.lora_B.weight": torch.ones(6, 2),
            },
            r"A \[2, 9\] and B \[6, 2\], the base's .* is \[6, 8\]",
        ),
        (
            {
                f"unet.{MODULE}.lora_A.weight": torch.ones(2, 8),
                f"unet.{MODULE}.hada_w1_a": torch.ones(2, 8),
            },
            "is not plain LoRA",
        ),
    ],
)
def test_what_cannot_be_a_task_vector_is_refused(tensors, message, base, tmp_path):
    save_file(tensors, tmp_path / "l.safetensors")
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.open(tmp_path / "l.safetensors", base=base)


def test_peft_s_file_without_its_config_says_that_the_scaling_is_missing(base, tmp_path):
    f, folder = factors(), tmp_path / "adapter"
    folder.mkdir()
    name = f"base_model.model.{MODULE}"
    tensors = {f"{name}.lora_A.weight": f["A"], f"{name}.lora_B.weight": f["B"]}
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="without adapter_config.json"):
        Checkpoint.open(folder / "adapter_model.safetensors", base=base)
    with pytest.raises(CheckpointError, match="put adapter_config.json beside it"):
        Checkpoint.open(folder, base=base)  # as people give it
    with pytest.raises(CheckpointError, match="is a LoRA adapter; open it with its base"):
        Checkpoint.open(folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    got = delta(base, folder / "adapter_model.safetensors", f"{MODULE}.weight")
    np.testing.assert_allclose(got, 2 * (f["B"] @ f["A"]).numpy(), atol=1e-5)
