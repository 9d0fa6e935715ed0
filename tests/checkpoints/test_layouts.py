"""Which file of a folder is read: the one that the folder's own loader takes."""

from __future__ import annotations

import json
import re

import pytest
import torch
from safetensors.torch import save_file

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.layouts import choose_weights
from mergecast.errors import CheckpointError
from mergecast.family import Family

ONE, OTHER = {"w": torch.zeros(3)}, {"w": torch.ones(3)}


def is_one(path) -> bool:
    return not Checkpoint.open(path).array("w").any()


def index(folder, name, shard):
    (folder / name).write_text(json.dumps({"weight_map": {"w": shard}}), encoding="utf-8")


def test_transformers_takes_the_single_file_before_a_stale_index(tmp_path):
    save_file(ONE, tmp_path / "model.safetensors")
    save_file(OTHER, tmp_path / "model-00001-of-00001.safetensors")
    index(tmp_path, "model.safetensors.index.json", "model-00001-of-00001.safetensors")
    assert is_one(tmp_path)
    [note] = Checkpoint.open(tmp_path).notes
    assert note.startswith("model.safetensors is read")
    assert "model.safetensors.index.json" in note


def test_safetensors_come_before_torch_files(tmp_path):
    save_file(ONE, tmp_path / "model.safetensors")
    torch.save(OTHER, tmp_path / "pytorch_model.bin")
    assert is_one(tmp_path)


def test_diffusers_takes_an_index_before_the_single_file(tmp_path):
    save_file(OTHER, tmp_path / "diffusion_pytorch_model.safetensors")
    save_file(ONE, tmp_path / "part.safetensors")
    index(tmp_path, "diffusion_pytorch_model.safetensors.index.json", "part.safetensors")
    assert is_one(tmp_path)


def test_mistral_s_consolidated_weights_come_last(tmp_path):
    save_file(OTHER, tmp_path / "consolidated.safetensors")
    save_file(ONE, tmp_path / "model-00001-of-00001.safetensors")
    index(tmp_path, "model.safetensors.index.json", "model-00001-of-00001.safetensors")
    assert is_one(tmp_path)


@pytest.mark.parametrize("stem", ["diffusion_pytorch_model", "weights"])
def test_a_precision_variant_counts_only_alone(stem, tmp_path):
    save_file(OTHER, tmp_path / f"{stem}.fp16.safetensors")
    assert not is_one(tmp_path)
    save_file(ONE, tmp_path / f"{stem}.safetensors")
    assert is_one(tmp_path)


def test_tensors_that_the_index_does_not_list_are_read_and_said(tmp_path):
    save_file({**ONE, "extra": torch.ones(2)}, tmp_path / "a.safetensors")
    index(tmp_path, "model.safetensors.index.json", "a.safetensors")
    checkpoint = Checkpoint.open(tmp_path)
    assert checkpoint.names == ["extra", "w"]
    assert checkpoint.notes == (
        "1 tensor(s) that model.safetensors.index.json does not list, first 'extra'",
    )


def cache(folder, *revisions, main=None):
    repository = folder / "models--org--name"
    for revision in revisions:
        place = repository / "snapshots" / revision
        place.mkdir(parents=True)
        save_file(ONE, place / "model.safetensors")
    if main:
        (repository / "refs").mkdir()
        (repository / "refs/main").write_text(main, encoding="utf-8")
    return repository


def test_a_hub_s_cache_opens_at_its_main_revision(tmp_path):
    repository = cache(tmp_path, "0123456789ab", "ba9876543210", main="ba9876543210")
    assert Checkpoint.open(repository).path.name == "ba9876543210"


def test_a_hub_s_cache_without_a_main_revision_names_them(tmp_path):
    repository = cache(tmp_path, "0123456789ab", "ba9876543210")
    with pytest.raises(CheckpointError, match="2 revisions: 0123456789ab, ba9876543210"):
        Checkpoint.open(repository)


def test_a_snapshot_is_labelled_by_repository_and_revision(tmp_path):
    repository = cache(tmp_path, "0123456789ab", "ba9876543210")
    save_file(OTHER, tmp_path / "base.safetensors")
    snapshots = [repository / "snapshots" / name for name in ("0123456789ab", "ba9876543210")]
    family = Family.open(tmp_path / "base.safetensors", snapshots)
    assert family.names == ("name@0123456", "name@ba98765")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (
            "checkpoint-500/model.safetensors",
            "holds no weights itself, but in checkpoint-500/; give one of these",
        ),
        ("model-q4.gguf", "holds weights in formats that are not read: model-q4.gguf; give a .saf"),
        ("optimizer.pt", "holds no weights; give a .safetensors"),
    ],
)
def test_a_folder_without_weights_says_where_they_are(file, said, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=re.escape(said)):
        choose_weights(tmp_path)


def test_a_pipeline_answers_with_its_parts(tmp_path):
    (tmp_path / "unet").mkdir()
    content = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet"]}
    (tmp_path / "model_index.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match="is a pipeline of unet/; give one part"):
        Checkpoint.open(tmp_path)


def test_a_folder_of_adapters_names_them(tmp_path):
    for name in ("math", "code"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"holds 2 adapter\(s\), in code, math"):
        Checkpoint.open(tmp_path)


def test_sentence_transformers_may_keep_the_network_in_a_subfolder(tmp_path):
    (tmp_path / "0_Transformer").mkdir()
    save_file(ONE, tmp_path / "0_Transformer/model.safetensors")
    module = {"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}
    (tmp_path / "modules.json").write_text(json.dumps([module]), encoding="utf-8")
    assert is_one(tmp_path)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt", ".pth.tar"])
def test_every_suffix_of_torch_files_is_read(suffix, tmp_path):
    torch.save({"state_dict": ONE, "epoch": 3}, tmp_path / f"last{suffix}")
    assert is_one(tmp_path / f"last{suffix}")
    family = Family.open(tmp_path / f"last{suffix}", [tmp_path / f"last{suffix}"])
    assert family.names == ("last",)


@pytest.mark.parametrize(
    ("live", "copy"), [("model", "model_ema"), ("state_dict", "state_dict_ema"), ("params", "ema")]
)
def test_live_weights_are_read_and_the_average_beside_them_is_said(live, copy, tmp_path):
    torch.save({copy: OTHER, live: ONE, "epoch": 3}, tmp_path / "both.pt")
    assert is_one(tmp_path / "both.pt")
    [note] = Checkpoint.open(tmp_path / "both.pt").notes
    assert note == f"{live!r} is read; beside it in the file: {copy}"


def test_an_average_alone_is_read(tmp_path):
    torch.save({"model_ema": ONE, "epoch": 3}, tmp_path / "ema.pt")
    assert is_one(tmp_path / "ema.pt")


def test_a_header_that_no_model_needs_is_refused_at_once(tmp_path):
    path = tmp_path / "many.safetensors"
    header = b"{" + b" " * (20 << 20) + b"}"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match="has a header of 20 MiB, more than 16 MiB"):
        Checkpoint.open(path)
