"""Files of mergekit with values by layer, slices and modules: each parameter as mergekit has it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from mergekit_case import file_of, write

import mergecast as mc
from mergecast.checkpoints import Checkpoint
from mergecast.checkpoints.writer import write_safetensors
from mergecast.cli.main import run
from mergecast.errors import UsageError

LAYERS = 3


@pytest.fixture
def layered(tmp_path, monkeypatch):
    """A folder of a base, a and b with three layers of two parameters, and one at each end."""
    names = [f"model.layers.{i}.{part}.weight" for i in range(LAYERS) for part in ("mlp", "attn")]
    names += ["model.embed_tokens.weight", "model.norm.weight"]
    generator = np.random.default_rng(0)
    base = {name: generator.normal(size=(4, 6)) for name in names}
    for label, far in (("base", 0.0), ("a", 0.1), ("b", 0.1)):
        tensors = {
            name: (value + far * generator.normal(size=value.shape)).astype(np.float32)
            for name, value in base.items()
        }
        write_safetensors(tmp_path / f"{label}.safetensors", tensors)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def merged(folder, content):
    """Parameters of what a file gives, and those of its base and models."""
    path = write(folder, content)
    assert run(["merge", "--mergekit", str(path), "-o", str(folder / "out")]) == 0
    files = (folder / "out", *(folder / f"{one}.safetensors" for one in ("base", "a", "b")))
    opened = [Checkpoint.open(one) for one in files]
    return [{name: one.array(name) for name in one.names} for one in opened]


def test_values_along_the_layers_and_by_filter_are_those_of_each_parameter(layered):
    weights = [{"filter": "mlp", "value": [0, 1]}, {"filter": "attn", "value": 0.25}, {"value": 2}]
    content = file_of("task_arithmetic", parameters={"lambda": [1.0, 0.5]})
    content["models"][0]["parameters"]["weight"] = weights
    content["models"][1]["parameters"]["weight"] = 0
    out, base, a, _ = merged(layered, content)
    expected = {f"model.layers.{i}.mlp.weight": (i / 2) * (1 - i / 4) for i in range(LAYERS)}
    expected |= {f"model.layers.{i}.attn.weight": 0.25 * (1 - i / 4) for i in range(LAYERS)}
    expected |= {"model.embed_tokens.weight": 2.0, "model.norm.weight": 2.0}
    assert {*expected} == {*out}
    for name, share in expected.items():
        wanted = base[name] + share * (a[name] - base[name])
        np.testing.assert_allclose(out[name], wanted, rtol=1e-5, atol=1e-6, err_msg=name)
    recorded = json.loads((layered / "out/mergecast.json").read_text("utf-8"))
    apart = [one["parameters"] for one in recorded["by_parameter"]]
    assert ["model.layers.0.attn.weight"] in apart


def test_a_gradient_of_slerp_starts_at_the_base(layered):
    content = {
        "merge_method": "slerp",
        "base_model": "a.safetensors",
        "slices": [
            {
                "sources": [
                    {"model": f"{one}.safetensors", "layer_range": [0, LAYERS]} for one in "ab"
                ]
            }
        ],
        "parameters": {"t": [{"filter": "attn", "value": [0, 1]}, {"value": 0}]},
    }
    out, _, a, b = merged(layered, content)
    np.testing.assert_allclose(out["model.layers.0.attn.weight"], a["model.layers.0.attn.weight"])
    np.testing.assert_allclose(
        out["model.layers.2.attn.weight"], b["model.layers.2.attn.weight"], rtol=1e-5
    )
    np.testing.assert_allclose(out["model.norm.weight"], a["model.norm.weight"])


def test_slices_have_settings_of_their_own(layered):
    def piece(first, end, weight):
        sources = [
            {"model": f"{one}.safetensors", "layer_range": [first, end], "parameters": {}}
            for one in "ab"
        ]
        return {"sources": sources, "parameters": {"weight": weight}}

    content = {"merge_method": "linear", "slices": [piece(0, 1, 1.0), piece(1, 3, [1.0, 3.0])]}
    content["slices"][1]["sources"][0]["parameters"]["weight"] = 1.0
    out, _, a, b = merged(layered, content)
    for layer, share in enumerate((0.5, 0.5, 0.75)):
        name = f"model.layers.{layer}.mlp.weight"
        wanted = (1 - share) * a[name] + share * b[name]
        np.testing.assert_allclose(out[name], wanted, rtol=1e-5, atol=1e-6)


def test_a_module_is_its_content(layered):
    content = file_of("ties")
    models = content.pop("models")
    whole = mc.read_mergekit(write(layered, {**content, "models": models}))
    inside = mc.read_mergekit(
        write(layered, {**content, "modules": {"default": {"models": models}}})
    )
    assert whole == inside


def test_a_base_may_stand_in_the_slices_of_a_module(layered):
    content = sliced([0, 3], [0, 3])
    slices = [{**content.pop("slices")[0], "base_model": content.pop("base_model")}]
    merge = mc.read_mergekit(
        write(layered, {**content, "modules": {"default": {"slices": slices}}})
    )
    assert merge.base == layered / "base.safetensors"


def sliced(*ranges, by="weight"):
    """One slice of a, and of b where it has a range too."""
    sources = [
        {"model": f"{one}.safetensors", "layer_range": given, "parameters": {by: 1.0}}
        for one, given in zip("ab", ranges, strict=False)
    ]
    return file_of(models=None, slices=[{"sources": sources}])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (sliced([0, 3], [1, 3]), "slice 1: takes other layers of one model than of another"),
        (sliced([0, 1]), "slices: take the layers 0 to 1 of 3; take every layer once, in order"),
        (sliced([3, 2]), "layer_range of slice 1: is [3, 2]; give [first, end]"),
        (sliced([0, 3], by="weigth"), "weight of a.safetensors: not given; give a number"),
        (file_of(models=None, slices=[{"sorces": []}]), "key of slice 1 'sorces': unknown"),
        (file_of(models=None, slices="all"), "slices: are 'all'; give a list of entries"),
        (
            file_of(models=None, modules={"default": {"model": []}}),
            "key of the module 'model': unknown; did you mean 'models'?",
        ),
    ],
)
def test_layers_that_cannot_be_merged_are_named(content, said, layered, capsys):
    path = write(layered, content)
    assert run(["merge", "--mergekit", str(path), "-o", str(layered / "out")]) == 2
    assert f"{path}: {said}" in capsys.readouterr().err


def test_several_merges_in_one_file_are_refused(layered):
    path = layered / "merge.yml"
    path.write_text("\n---\n".join([yaml.safe_dump(file_of())] * 2))
    with pytest.raises(UsageError, match="holds 2 merges; write each to a file, and run them in"):
        mc.read_mergekit(path)
