"""Files of mergekit: what they merge into, and what of them is refused."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import mergecast as mc
from mergecast.checkpoints import Checkpoint
from mergecast.checkpoints.writer import write_safetensors
from mergecast.cli.main import run
from mergecast.errors import UsageError
from mergecast.merging.mergekit_forms import FORMS

REFERENCE = Path(__file__).parents[3] / "shared/reference-mergekit"
CASES = sorted(REFERENCE.glob("*.yml"))


@pytest.mark.skipif(not CASES, reason="../shared/reference-mergekit is not there")
@pytest.mark.parametrize("case", CASES or [None], ids=lambda case: getattr(case, "stem", "none"))
def test_a_file_gives_what_mergekit_wrote(case, reference, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(reference)
    assert run(["merge", "--mergekit", str(case), "-o", str(tmp_path / "out")]) == 0
    assert "equals the base" not in capsys.readouterr().err
    merged, expected = (
        Checkpoint.open(at) for at in (tmp_path / "out", case.with_suffix(".safetensors"))
    )
    assert merged.names == expected.names
    for name in expected.names:
        np.testing.assert_allclose(
            merged.array(name), expected.array(name), rtol=1e-4, atol=1e-6, err_msg=name
        )


@pytest.fixture
def folder(family_paths, monkeypatch):
    """The folder of base.safetensors, a.safetensors, b.safetensors and c.safetensors."""
    base, _ = family_paths
    monkeypatch.chdir(base.parent)
    return base.parent


def write(folder, content):
    path = folder / "merge.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def file_of(method="ties", base="base.safetensors", **more):
    models = [{"model": f"{x}.safetensors", "parameters": {"weight": w}} for x, w in _WEIGHTS]
    content = {"merge_method": method, "base_model": base, "models": models, **more}
    return {key: value for key, value in content.items() if value is not None}


_WEIGHTS = (("a", 1.0), ("b", 2.0))


def test_parameters_of_a_model_come_before_those_of_all_and_mergekit_s_defaults(folder):
    content = file_of("dare_ties", parameters={"density": [{"value": 0.25}], "lambda": "5e-1"})
    content["models"][1]["parameters"]["density"] = 0.5
    merge = mc.read_mergekit(write(folder, content), seed=3)
    assert merge.models == {"a": folder / "a.safetensors", "b": folder / "b.safetensors"}
    assert merge.recipe == mc.Recipe(
        "dare_ties",
        {
            "drop_rate": {"a": 0.75, "b": 0.5},
            "scaling": 0.5,
            "rescale": "l1",
            "normalize": False,
        },
        {"a": 1, "b": 2},
        3,
    )


@pytest.mark.parametrize("method", [name for name, form in FORMS.items() if form.most != 1])
def test_every_method_runs_with_mergekit_s_defaults(method, folder, tmp_path):
    base = None if FORMS[method].base == "member" else "base.safetensors"
    path = write(folder, file_of(method, base))
    assert run(["merge", "--mergekit", str(path), "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/model.safetensors").exists()


def test_a_base_that_is_a_model_too_counts_once(folder):
    slerp = file_of("slerp", "b.safetensors", parameters={"t": 0.25})
    merge = mc.read_mergekit(write(folder, slerp))
    assert dict(merge.recipe.weights) == {"a": 0.25, "b": 0.75}
    assert merge.base == folder / "b.safetensors"
    ties = mc.read_mergekit(write(folder, file_of("ties", "b.safetensors")))
    assert list(ties.models) == ["a"]
    linear = mc.read_mergekit(write(folder, file_of("linear", "b.safetensors")))
    assert dict(linear.recipe.weights) == {"a": 1, "b": 2}


def test_models_are_found_beside_the_file_and_in_one_folder_beside_its_own(
    folder, monkeypatch, caplog
):
    monkeypatch.chdir("/")
    assert mc.read_mergekit(write(folder, file_of())).base == folder / "base.safetensors"
    configs, models, copies = (folder / name for name in ("configs", "models", "copies"))
    for place in (configs, models, copies):
        place.mkdir()
    path = write(configs, file_of())
    with pytest.raises(UsageError, match="model 'base.safetensors': not found"):
        mc.read_mergekit(path)
    for name in ("base", "a", "b"):
        shutil.copy(folder / f"{name}.safetensors", models)
    with caplog.at_level(logging.WARNING):
        found = mc.read_mergekit(path)
    assert found.base == models / "base.safetensors"
    assert f"base.safetensors, a.safetensors, b.safetensors taken from {models}" in caplog.text
    for name in ("base", "a"):
        shutil.copy(folder / f"{name}.safetensors", copies)
    assert mc.read_mergekit(path) == found
    shutil.copy(folder / "b.safetensors", copies)
    with pytest.raises(UsageError, match="'base.safetensors': is in .*copies and .*models"):
        mc.read_mergekit(path)


@pytest.mark.parametrize(
    ("dtypes", "stored"),
    [
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"dtype": "float32", "out_dtype": "float16"}, "float16"),
    ],
)
def test_the_file_s_dtype_is_stored(dtypes, stored, folder, tmp_path):
    path = write(folder, file_of(**dtypes))
    assert run(["merge", "--mergekit", str(path), "-o", str(tmp_path / "out")]) == 0
    infos = Checkpoint.open(tmp_path / "out").infos.values()
    assert {info.dtype.name for info in infos if info.is_floating} == {stored}


def test_a_parameter_without_effect_is_warned_of(folder, caplog):
    content = file_of("model_stock", parameters={"densty": 0.5, "int8_mask": True})
    mc.read_mergekit(write(folder, content))
    assert "densty has no effect: model_stock has no such parameter" in caplog.text
    assert "int8_mask" not in caplog.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1], "is not a mapping; begin with 'merge_method:'"),
        (file_of("tie"), "merge_method 'tie': unknown; did you mean 'ties'? known: linear"),
        (file_of("passthrough"), "merge_method 'passthrough': not supported: it stacks layers"),
        (file_of(slices=[{}]), "models and slices: given together; mergekit takes one of them"),
        ({"base_model": "x", "experts": []}, "experts: not supported; a mixture of experts"),
        ({"genome": {}, "tasks": []}, "genome: not supported; a search (mergekit-evolve) is no"),
        (
            file_of(models=None, modules={"text": {}, "vision": {}}),
            "modules: are several parts of a network, each merged in its own way",
        ),
        (file_of(tokenizer_source="union"), "tokenizer_source: not supported; leave it out"),
        (file_of(chat_template="auto"), "chat_template: not supported; leave it out, and put it"),
        (file_of(method_name="x"), "key 'method_name': unknown"),
        (file_of(dtype="int8"), "dtype 'int8': unknown; known: float32, float16, bfloat16"),
        (file_of(base=None), "base_model: not given; ties needs one"),
        (file_of(models=[]), "models: lists no model"),
        (file_of(models=[{"modle": "a"}]), "entry 1 of models: names no model"),
        (file_of(models=[{"model": "a+b"}]), "model 'a+b': has an adapter; list the adapter as a"),
        (file_of(models=[{"model": "x"}]), "weight of x: not given; give a number"),
        (file_of("nearswap"), "models: holds 2 beside the base; nearswap takes 1"),
        (
            file_of(parameters={"lambda": [{"filtre": "mlp", "value": 1}]}),
            "key of an entry of lambda 'filtre': unknown; did you mean 'filter'?",
        ),
        (
            file_of(parameters={"lambda": [{"filter": "mlp"}]}),
            "lambda: holds {'filter': 'mlp'}; give a number, a list of numbers along the layers",
        ),
        (file_of(parameters={"density": 0}), "parameter 'density' of ties"),
        (file_of(parameters={"normalize": 1}), "normalize: is 1; give true or false"),
        (file_of(parameters={"lambda": True}), "lambda: is True; give a number, a list"),
        (file_of("linear", "org/hub-model"), "weight of org/hub-model: not given"),
        (file_of("sce", "org/hub-model"), "model 'org/hub-model': not found (looked in "),
        (
            file_of("multislerp", parameters={"normalize_weights": False}),
            "normalize_weights: is false; leave it out",
        ),
    ],
)
def test_what_cannot_be_run_is_named(content, said, folder, tmp_path, capsys):
    path = write(folder, content)
    assert run(["merge", "--mergekit", str(path), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert f"{path}: {said}" in error
    assert error.count("error: ") == 1
    assert not (tmp_path / "out").exists()


def test_a_file_says_all_that_a_merge_is(folder, tmp_path, capsys):
    path = str(write(folder, file_of()))
    for more in (["--method", "ties"], ["--weights", "a=1"], ["base.safetensors"]):
        assert run(["merge", "--mergekit", path, *more, "-o", str(tmp_path / "out")]) == 2
        assert "--mergekit: given beside models, a method" in capsys.readouterr().err


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
