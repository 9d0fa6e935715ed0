"""Models of the hub by name: fetched from a server of the hub's kind, then found without one."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import mergecast as mc
from hub_server import COMMIT, Hub, serving
from mergecast.checkpoints import Checkpoint
from mergecast.checkpoints.hub import described, fetched, is_model_name
from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import CheckpointError, UsageError
from mergecast.family.labels import labelled

hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")


@pytest.fixture
def served(tmp_path, monkeypatch, family_paths):
    """A hub that has the base, a and b of a family as org/base, org/a, org/b."""
    base, models = family_paths
    files = {"org/base": base, "org/a": models[0], "org/b": models[1]}
    models = {
        name: {"model.safetensors": path.read_bytes(), "config.json": b"{}", "big.onnx": b"x"}
        for name, path in files.items()
    }
    monkeypatch.chdir(tmp_path)
    with serving(models, tmp_path / "cache", monkeypatch) as server:
        yield server


def test_a_name_is_fetched_and_is_the_same_model(served, family_paths):
    base, _ = family_paths
    opened, plain = Checkpoint.open("org/base@main"), Checkpoint.open(base)
    for name in plain.names:
        np.testing.assert_array_equal(opened.array(name), plain.array(name))
    assert opened.path.name == COMMIT
    assert "big.onnx" not in Hub.asked


def test_layers_after_a_sentence_network_are_fetched_in_any_format(served):
    """They are small, and a merged folder does not load without them."""
    Hub.models["org/a"] |= {"2_Dense/pytorch_model.bin": b"x", "onnx/pytorch_model.bin": b"x"}
    folder = fetched("org/a")
    assert (folder / "2_Dense/pytorch_model.bin").is_file()
    assert not (folder / "onnx").exists()


def test_a_branch_is_said_to_move_a_commit_is_not(served, caplog):
    with caplog.at_level(logging.WARNING):
        fetched("org/a")
    assert f"give org/a@{COMMIT[:12]} to have it again" in caplog.text
    asked = len(Hub.asked)
    assert fetched("org/a").name == COMMIT
    assert len(Hub.asked) == asked
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        fetched(f"org/a@{COMMIT}")
    assert caplog.text == ""


def test_what_was_fetched_is_found_without_a_network(served, monkeypatch):
    first = fetched("org/a")
    fetched.cache_clear()
    described.cache_clear()
    served.shutdown()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert fetched("org/a") == first
    with pytest.raises(CheckpointError, match="the hub cannot be reached, and its cache does not"):
        Checkpoint.open("org/b")


def test_a_family_of_names_is_a_family(served):
    family = mc.Family.open("org/base", ["org/a", "org/b@main"])
    assert family.names == ("a", "b@main")
    assert mc.check("org/base", ["org/a", "org/b"]).usable == ["a", "b"]


def test_snapshots_are_called_by_their_model(served):
    assert list(labelled([fetched("org/a"), fetched("org/b")])) == ["a@5c38ec7", "b@5c38ec7"]


def test_a_mergekit_file_may_name_models_of_the_hub(served, tmp_path):
    path = tmp_path / "merge.yml"
    path.write_text(
        "merge_method: ties\nbase_model: org/base\nmodels:\n"
        "- model: org/a\n  parameters: {weight: 1}\n"
        "- model: {model: {path: org/b, revision: main}}\n  parameters: {weight: 1}\n"
    )
    merge = mc.read_mergekit(path)
    assert list(merge.models) == ["a@5c38ec7", "b@5c38ec7"]
    path.write_text(path.read_text().replace("org/a", "org/c"))
    with pytest.raises(UsageError, match="model 'org/c': not found .* the hub has no such model"):
        mc.read_mergekit(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("org/none", "is no file here, and the hub has no such model or revision; check its name"),
        ("org/a@v2", "is no file here, and the hub has no such model or revision; check its name"),
    ],
)
def test_what_the_hub_does_not_have_is_named(served, name, said):
    with pytest.raises(CheckpointError, match=f"{name}: {said}"):
        Checkpoint.open(name)


def test_without_its_library_it_is_said(served, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"install mergecast\[hf\]"):
        Checkpoint.open("org/a")


def test_files_that_are_here_come_first_and_file_names_are_no_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_model_name("org/name")
    assert is_model_name("org/name@v1.0/x")
    for name in ("name", "a/b/c", "models/a.safetensors", "/tmp/x", "org/name@"):
        assert not is_model_name(name)
    (tmp_path / "org").mkdir()
    write_safetensors(tmp_path / "org" / "name", {"w": np.zeros(2, np.float32)})
    assert not is_model_name("org/name")
