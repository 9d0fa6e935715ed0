"""Scaled 8-bit floats and MXFP4 are read as the matrices they stand for; codes are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.errors import CheckpointError

NAME = "model.layers.0.mlp.up_proj.weight"


def folder_of(folder, tensors, quantization=None):
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = {"model_type": "llama"}
    if quantization is not None:
        config["quantization_config"] = quantization
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def blockwise(weight, height, width):
    """Codes and scales of a matrix, each block divided by its largest entry over 448."""
    rows, columns = weight.shape
    scales = torch.zeros(-(-rows // height), -(-columns // width))
    codes = torch.zeros_like(weight)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            at = (slice(i * height, (i + 1) * height), slice(j * width, (j + 1) * width))
            scales[i, j] = weight[at].abs().max() / 448
            codes[at] = weight[at] / scales[i, j]
    return codes.to(torch.float8_e4m3fn), scales


@pytest.mark.parametrize("block", [(128, 128), (1, 200), (200, 150)])
def test_blocks_of_8_bit_floats_are_widened_with_their_scales(block, tmp_path):
    weight = torch.randn(200, 150, generator=torch.Generator().manual_seed(0))
    codes, scales = blockwise(weight, *block)
    path = folder_of(
        tmp_path / "m",
        {NAME: codes, f"{NAME}_scale_inv": scales, "model.norm.weight": torch.ones(8)},
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
    )
    checkpoint = Checkpoint.open(path)
    assert checkpoint.names == [NAME, "model.norm.weight"]
    grid = scales.repeat_interleave(block[0], 0)[:200].repeat_interleave(block[1], 1)[:, :150]
    want = (codes.float() * grid).numpy()
    np.testing.assert_array_equal(checkpoint.array(NAME), want)
    np.testing.assert_array_equal(checkpoint.floats(NAME, 149, 470), want.reshape(-1)[149:470])
    assert float(np.abs(want - weight.numpy()).max()) < 0.25


def test_a_scale_that_fits_no_block_is_refused(tmp_path):
    codes = torch.zeros(200, 150).to(torch.float8_e4m3fn)
    path = folder_of(tmp_path / "m", {NAME: codes, f"{NAME}_scale": torch.ones(3, 7)})
    with pytest.raises(CheckpointError, match=r"holds scales \[3, 7\] for .* of \[200, 150\]"):
        Checkpoint.open(path)


def test_mxfp4_blocks_are_widened_as_transformers_does(tmp_path):
    draw = torch.Generator().manual_seed(1)
    blocks = torch.randint(0, 256, (2, 6, 3, 16), generator=draw, dtype=torch.uint8)
    scales = torch.randint(120, 132, (2, 6, 3), generator=draw, dtype=torch.uint8)
    stem = "model.layers.0.mlp.experts.down_proj"
    path = folder_of(
        tmp_path / "m",
        {f"{stem}_blocks": blocks, f"{stem}_scales": scales},
        {"quant_method": "mxfp4"},
    )
    checkpoint = Checkpoint.open(path)
    mxfp4 = pytest.importorskip("transformers.integrations.mxfp4")
    want = mxfp4.convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
    assert checkpoint.info(stem).shape == tuple(want.shape) == (2, 96, 6)
    np.testing.assert_array_equal(checkpoint.array(stem), want.numpy())
    np.testing.assert_array_equal(checkpoint.floats(stem, 500, 700), want.reshape(-1)[500:700])


@pytest.mark.parametrize(
    ("tensors", "quantization", "named"),
    [
        (
            {
                NAME: torch.zeros(8, 8, dtype=torch.int8),
                "model.layers.0.mlp.up_proj.SCB": torch.ones(8),
            },
            {"quant_method": "bitsandbytes", "load_in_8bit": True},
            "bitsandbytes",
        ),
        (
            {"x.qweight": torch.zeros(8, 8, dtype=torch.int32), "x.scales": torch.ones(1, 8)},
            None,
            "GPTQ",
        ),
        (
            {"x.weight": torch.zeros(32, 1, dtype=torch.uint8), "x.weight.absmax": torch.ones(1)},
            None,
            "bitsandbytes 4 bit",
        ),
        (
            {
                "x.weight_packed": torch.zeros(8, 1, dtype=torch.int32),
                "x.weight_scale": torch.ones(8, 1),
            },
            {"quant_method": "compressed-tensors"},
            "packed integers",
        ),
    ],
)
def test_integer_codes_are_refused_by_name_with_what_to_bring(
    tensors, quantization, named, tmp_path
):
    path = folder_of(tmp_path / "m", tensors, quantization)
    with pytest.raises(CheckpointError, match=f"quantised .*{named}.*before quantisation"):
        Checkpoint.open(path)


def test_a_config_that_outlived_its_quantisation_refuses_nothing(tmp_path):
    path = folder_of(tmp_path / "m", {NAME: torch.ones(8, 8)}, {"quant_method": "gptq", "bits": 4})
    assert Checkpoint.open(path).names == [NAME]
