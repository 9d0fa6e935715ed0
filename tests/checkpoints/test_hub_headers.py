"""Models of the hub by their headers: what these say is said before a weight is fetched."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mergecast as mc
from hub_server import Hub, serving
from mergecast.checkpoints import Checkpoint
from mergecast.checkpoints.hub_headers import is_unfetched, open_headers, unfetched_bytes
from mergecast.checkpoints.writer import write_safetensors
from mergecast.cli.main import run
from mergecast.errors import CheckpointError, FamilyError

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

#: Weights of 3 MB a model; of a file the first 100 kB are read.
SHAPE = (500, 1500)
CONFIG = {"model_type": "bert", "vocab_size": 100}


def tensors(seed=None, shape=SHAPE):
    """A base, or a model that a little of noise tells apart."""
    draws = np.random.default_rng(0)
    weight = draws.standard_normal(shape, dtype=np.float32)
    if seed is not None:
        weight += 0.01 * np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return {"layer.weight": weight, "layer.bias": weight[0].copy()}


def content(values):
    """The bytes of a safetensors file."""
    from safetensors.numpy import save

    return save(values)


def folder(values, config=CONFIG):
    """A model's files on the hub."""
    return {"model.safetensors": content(values), "config.json": json.dumps(config).encode()}


def sharded(values):
    """The same in two files, with their index."""
    files = {name: f"model-0000{i}-of-00002.safetensors" for i, name in enumerate(values, start=1)}
    index = {"metadata": {}, "weight_map": files}
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors.index.json": json.dumps(index).encode(),
        **{file: content({name: values[name]}) for name, file in files.items()},
    }


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that has org/base (two shards), org/a and org/b of it, and org/other, of another."""
    models = {
        "org/base": sharded(tensors()),
        "org/a": folder(tensors(1)),
        "org/b": folder(tensors(2)),
        "org/other": folder(tensors(3, (500, 1501))),
    }
    monkeypatch.chdir(tmp_path)
    with serving(models, tmp_path / "cache", monkeypatch) as server:
        yield server


def test_headers_are_those_of_the_files_and_cost_no_weight(hub, tmp_path):
    (tmp_path / "here").mkdir()
    for name in ("org/base", "org/a"):
        found = open_headers(name)
        for file, data in Hub.models[name].items():
            (tmp_path / "here" / file).write_bytes(data)
        assert found.infos == Checkpoint.open(tmp_path / "here").infos
        for file in Hub.models[name]:
            (tmp_path / "here" / file).unlink()
    assert sum(Hub.sent) < 500_000
    assert is_unfetched("org/a")
    assert unfetched_bytes("org/a") == len(Hub.models["org/a"]["model.safetensors"])


def test_check_reads_megabytes_and_says_that_no_weight_was_compared(hub, capsys):
    assert run(["check", "org/base", "org/a", "org/b", "--verbose"]) == 0
    printed = capsys.readouterr().out
    assert "usable  a\nusable  b\n" in printed
    assert "‖τ‖" not in printed
    assert (
        "warning: family: headers: headers, configs and tokenizers were compared, and no weights; "
        "0.00902 GB of them are on the hub and not here; to compare them as well say --no-headers"
    ) in printed
    assert "reads headers on the hub, and no weights: they are not here" in printed
    assert sum(Hub.sent) < 1_000_000


def test_what_headers_decide_is_decided_by_them(hub):
    Hub.models["org/lacking"] = folder({"layer.bias": tensors()["layer.bias"]})
    Hub.models["org/config"] = folder(tensors(4), {**CONFIG, "model_type": "gpt2"})
    found = mc.check("org/base", ["org/a", "org/other", "org/lacking", "org/config"])
    assert found.headers
    assert found.usable == ["a"]
    said = {one.about: (one.rule, one.message) for one in found.findings if one.severity == "error"}
    assert said["other"][0] == said["lacking"][0] == "mismatch"
    assert "another architecture: it has 0 of the base's 2 parameters" in said["other"][1]
    assert "1 missing parameter(s), first 'layer.weight'" in said["lacking"][1]
    assert "gpt2" in said["config"][1]
    assert sum(Hub.sent) < 2_000_000


def test_no_headers_fetches_and_compares_and_then_all_is_here(hub):
    found = mc.check("org/base", ["org/a"], headers=False)
    assert found.relative_norms["a"] == pytest.approx(0.01, rel=0.05)
    assert not found.headers
    assert not any(one.rule == "headers" for one in found.findings)
    sent = sum(Hub.sent)
    assert sent > 6_000_000
    again = mc.check("org/base", ["org/a"])
    assert again.relative_norms == found.relative_norms
    assert sum(Hub.sent) - sent < 200_000
    assert mc.check("org/base", ["org/a"], headers=True).relative_norms == {}


def test_a_family_that_does_not_fit_is_refused_before_it_is_fetched(hub):
    with pytest.raises(FamilyError, match="--other.* it has 0 of the base's 2 parameters"):
        mc.Family.open("org/base", ["org/a", "org/other"])
    assert sum(Hub.sent) < 1_000_000
    family = mc.Family.open("org/base", ["org/a", "org/other"], on_error="refuse")
    assert family.names == ("a",)
    assert list(family.refused) == ["other"]
    assert sum(Hub.sent) < 8_000_000  # the base and a
    assert is_unfetched("org/other")


def test_files_here_and_models_there_are_one_family(hub, tmp_path):
    write_safetensors(tmp_path / "c.safetensors", tensors(5))
    found = mc.check("org/base", [tmp_path / "c.safetensors", "org/a"])
    assert found.usable == ["c", "a"]
    assert found.headers
    assert sum(Hub.sent) < 1_000_000


def test_files_that_are_here_are_compared_by_headers_where_that_is_asked(tmp_path):
    paths = [tmp_path / f"{name}.safetensors" for name in "xab"]
    for seed, path in enumerate(paths):
        write_safetensors(path, tensors(seed or None, (4, 4)))
    found = mc.check(paths[0], paths[1:], headers=True)
    assert (found.relative_norms, found.usable) == ({}, ["a", "b"])
    [said] = [one.message for one in found.findings if one.rule == "headers"]
    assert said == "headers, configs and tokenizers were compared, and no weights"
    assert not mc.check(paths[0], paths[1:]).headers


def test_a_value_is_never_made_up(hub):
    family = mc.Family.open("org/base", ["org/a"], headers=True)
    with pytest.raises(CheckpointError, match=r"org/base@5c38ec7c405e: the values of 'layer.bias'"):
        family.base.array("layer.bias")
    with pytest.raises(CheckpointError, match="the values of .* its header alone is here; fetch"):
        next(iter(family.blocks()))


def test_a_model_without_headers_is_named_and_opened_as_before(hub, monkeypatch):
    files = Hub.models["org/a"]
    Hub.models["org/a"] = {
        "config.json": files["config.json"], "pytorch_model.bin": files["model.safetensors"]
    }  # fmt: skip
    found = mc.check("org/base", ["org/a", "org/b"])
    assert found.usable == ["b"]
    [error] = [one for one in found.findings if one.severity == "error"]
    assert "keeps its weights in pytorch_model.bin, which says nothing before" in error.message
    assert error.remedy == "fetch it: mergecast check --no-headers does"
    with pytest.raises(CheckpointError, match="pytorch_model.bin"):  # fetched; no torch file
        mc.Family.open("org/base", ["org/a", "org/b"])


def test_an_adapter_is_read_by_its_headers(hub):
    prefix = "base_model.model.layer.lora_"
    factors = {
        f"{prefix}A.weight": np.ones((2, SHAPE[1]), np.float32),
        f"{prefix}B.weight": np.ones((SHAPE[0], 2), np.float32),
    }
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["layer"]}
    Hub.models["org/lora"] = {
        "adapter_config.json": json.dumps(config).encode(),
        "adapter_model.safetensors": content(factors),
    }
    found = mc.check("org/base", ["org/a", "org/lora"])
    assert found.usable == ["a", "lora"]
    assert unfetched_bytes("org/lora") == len(content(factors))
    assert sum(Hub.sent) < 1_000_000
    Hub.models["org/wrong"] = {
        **Hub.models["org/lora"],
        "adapter_model.safetensors": content(
            {**factors, f"{prefix}B.weight": np.ones((3, 2), np.float32)}
        ),
    }
    assert mc.check("org/base", ["org/wrong", "org/a"]).refused == ["wrong"]
    with pytest.raises(CheckpointError, match="is a LoRA adapter; open it with its base"):
        open_headers("org/lora")


@pytest.mark.parametrize("config", [{}, {"tie_word_embeddings": True}])
def test_a_config_s_ties_are_believed(config, hub):
    embeddings = {"wte.weight": np.ones((50, 4), np.float32)}
    Hub.models["org/one"] = folder(embeddings, config)
    Hub.models["org/two"] = folder(
        {**embeddings, "lm_head.weight": embeddings["wte.weight"]}, config
    )
    Hub.models["org/three"] = folder({**embeddings, "lm_head.weight": embeddings["wte.weight"]},
                                     {"tie_word_embeddings": False})  # fmt: skip
    assert open_headers("org/two").tied == {"wte.weight": "lm_head.weight"}
    assert mc.check("org/two", ["org/one"], headers=True).usable == ["one"]
    assert open_headers("org/three").tied == {}


def test_a_network_in_a_folder_of_its_modules_is_found(hub):
    inside = {f"0_Transformer/{name}": data for name, data in folder(tensors(6)).items()}
    modules = [{"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]
    Hub.models["org/sbert"] = {**inside, "modules.json": json.dumps(modules).encode()}
    found = open_headers("org/sbert")
    assert found.path.name == "0_Transformer"
    assert found.info("layer.weight").shape == SHAPE
    assert mc.check("org/base", ["org/sbert"]).usable == ["sbert"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model.safetensors": b"{}" * 600}, "is no safetensors file"),
        ({"model.safetensors": None}, "holds no weights"),
        (
            {"model.safetensors": None, "model.safetensors.index.json": json.dumps(
                {"weight_map": {"layer.bias": "gone.safetensors"}}).encode()},
            "missing, though model.safetensors.index.json lists it",
        ),
    ],
)  # fmt: skip
def test_a_broken_model_is_named(change, said, hub):
    files = {**Hub.models["org/a"], **change}
    Hub.models["org/a"] = {name: data for name, data in files.items() if data is not None}
    with pytest.raises(CheckpointError, match=said):
        open_headers("org/a")
    found = mc.check("org/base", ["org/a", "org/b"])
    assert found.refused == ["a"]
    assert found.usable == ["b"]


def test_a_name_that_the_hub_lacks_is_refused_as_ever(hub):
    found = mc.check("org/base", ["org/none", "org/a"])
    assert found.refused == ["none"]
    with pytest.raises(CheckpointError, match="the hub has no such model or revision"):
        mc.check("org/nothing", ["org/a"])


def test_without_a_network_what_is_not_here_is_said(hub, monkeypatch):
    assert is_unfetched("org/a")  # its config is here now
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="org/a: could not be fetched"):
        open_headers("org/a")
