"""Files of mergekit: what they merge into, and what of them is refused."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from mergekit_case import file_of, write

import mergecast as mc
from mergecast.checkpoints import Checkpoint
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
