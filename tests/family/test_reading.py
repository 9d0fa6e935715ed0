"""Which files of every folder were read, by which rule, and what was left out."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mergecast as mc
from mergecast.checkpoints.writer import write_safetensors
from mergecast.cli.main import run
from tiny_family import arrays


@pytest.fixture
def folders(tmp_path):
    """A base and a model as folders, each with a plain file of weights."""
    for seed, name in enumerate(("base", "model")):
        (tmp_path / name).mkdir()
        write_safetensors(tmp_path / name / "model.safetensors", arrays(seed))
    return tmp_path / "base", tmp_path / "model"


def lines(base, model):
    """What is said of the model."""
    [_, reading] = mc.check(base, model).readings
    assert (reading.label, reading.subject, reading.path) == ("model", "model", str(model))
    return list(reading.lines)


def test_what_lies_beside_the_weights_is_left_out_by_name(folders):
    base, model = folders
    for name in ("pytorch_model.bin", "optimizer.pt", "tf_model.h5", "config.json"):
        (model / name).write_text("{}", encoding="utf-8")
    order = "model.safetensors, model.safetensors.index.json, pytorch_model.bin"
    read, left = lines(base, model)
    assert read.startswith(
        f"reads model.safetensors: the first there is, in the order of transformers: {order}"
    )
    assert left == "leaves out: optimizer.pt, pytorch_model.bin, tf_model.h5"


def test_shards_that_an_index_lists_are_read(folders):
    base, model = folders
    (model / "model.safetensors").rename(model / "part-1.safetensors")
    (model / "stale.safetensors").write_bytes(b"of before")
    listed = dict.fromkeys(arrays(1), "part-1.safetensors")
    index = model / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": listed}), encoding="utf-8")
    read, left = lines(base, model)
    assert read.startswith(f"reads {index.name}: the first there is, in the order of diffusers: ")
    assert left == "leaves out: stale.safetensors"


def test_a_file_of_another_name_and_a_file_that_was_given(folders, tmp_path):
    base, model = folders
    (model / "model.safetensors").rename(model / "weights.safetensors")
    [read] = lines(base, model)
    assert read.startswith("reads weights.safetensors: the only .safetensors file that is no ")
    alone = model / "weights.safetensors"
    [_, reading] = mc.check(base, alone).readings
    assert reading.lines == ("reads weights.safetensors: the file that was given",)


def test_names_that_were_aligned_are_said(folders):
    base, model = folders
    wrapped = {f"module.{name}": value for name, value in arrays(1).items()}
    write_safetensors(model / "model.safetensors", wrapped)
    _, names = lines(base, model)
    count = len(arrays(1))
    assert names.startswith(f"{count} tensor(s) are taken under the base's names: module.")


def adapter(folder, scale, recorded):
    """A LoRA adapter of one matrix."""
    name, shape = next((n, v.shape) for n, v in arrays(0).items() if v.ndim == 2)
    module = name.removesuffix(".weight")
    folder.mkdir()
    factors = {"A": np.full((1, shape[1]), scale, "f4"), "B": np.ones((shape[0], 1), "f4")}
    write_safetensors(
        folder / "adapter_model.safetensors",
        {f"base_model.model.{module}.lora_{side}.weight": v for side, v in factors.items()},
    )
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, **recorded}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    ("bases", "doubted"),
    [
        (("org/net", "/models/Net/", ""), []),
        (("org/net", "org/other", "net"), ["b"]),
        (("org/net", "org/other", ""), ["a", "b"]),
        (("", "", "org/net"), []),
    ],
)
def test_adapters_of_different_bases_are_doubted(folders, tmp_path, bases, doubted):
    for number, (label, named) in enumerate(zip("abc", bases, strict=True)):
        adapter(tmp_path / label, 0.1 * (number + 1), {"base_model_name_or_path": named or None})
    found = mc.check(folders[0], [tmp_path / label for label in "abc"]).findings
    said = [f for f in found if f.rule == "adapter base"]
    assert [f.about for f in said] == doubted
    assert all("says that it was trained on 'org/" in f.message for f in said)


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        (
            {"base_model_name_or_path": "org/net", "revision": "v2"},
            "'org/net' at revision v2, says",
        ),
        ({}, "does not say on which base it was trained"),
    ],
)
def test_the_base_that_an_adapter_records_is_said(folders, tmp_path, recorded, said):
    base, _ = folders
    adapter(tmp_path / "lora", 1.0, recorded)
    [_, reading] = mc.check(base, tmp_path / "lora").readings
    assert reading.lines[0].startswith("reads adapter_model.safetensors: the first there is")
    assert said in reading.lines[-1]


def test_the_command_says_it_where_it_is_asked_to(folders, capsys):
    base, model = map(str, folders)
    assert run(["check", base, model]) == 0
    assert "reads model.safetensors" not in capsys.readouterr().out
    assert run(["check", base, model, "--verbose"]) == 0
    printed = capsys.readouterr().out
    assert f"\nbase: {base}\n  reads model.safetensors: " in printed
    assert f"\nmodel model: {model}\n  reads model.safetensors: " in printed
    assert run(["check", base, model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["readings"][1]["label"] == "model"
