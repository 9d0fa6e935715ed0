"""Merges of folders of sentence-transformers and of diffusers' parts are folders that these load.

The layouts are those that the libraries write; where one is installed, it loads the merge.
"""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import mergecast as mc
from mergecast.checkpoints import Checkpoint
from mergecast.checkpoints.layouts import weights_name
from mergecast.checkpoints.side_files import library_folder, module_folders
from mergecast.errors import UsageError

pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
ST = "sentence_transformers.models."
CONFIG = {"model_type": "bert", "architectures": ["BertModel"]}


def weights(seed):
    """A base's tensors for 0, else a model's of it."""
    base = np.random.default_rng(0).standard_normal((2, 8, 8)).astype(np.float32)
    noise = np.random.default_rng(seed).standard_normal((2, 8, 8)).astype(np.float32)
    return dict(zip(("a.weight", "b.weight"), base + (0.01 * noise if seed else 0), strict=True))


def sentence_folder(folder, seed, inside="", pooling="mean", dense=False):
    """A model as sentence-transformers saves one, the network in a folder or beside the rest."""
    network = folder / inside
    network.mkdir(parents=True)
    save_file(weights(seed), network / "model.safetensors")
    (network / "config.json").write_text(json.dumps(CONFIG))
    (network / "sentence_bert_config.json").write_text('{"max_seq_length": 128}')
    (network / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "find: "}}')
    modules = [{"idx": 0, "name": "0", "path": inside, "type": f"{ST}Transformer"}]
    kinds = ["Pooling", *(["Dense"] if dense else []), "Normalize"]
    for number, kind in enumerate(kinds, start=1):
        place = f"{number}_{kind}"
        modules.append({"idx": number, "name": str(number), "path": place, "type": f"{ST}{kind}"})
        if kind == "Normalize":
            continue  # it has no files, and hubs no empty folders
        (folder / place).mkdir()
        config = {"pooling_mode": pooling} if kind == "Pooling" else {"in_features": 8}
        (folder / place / "config.json").write_text(json.dumps(config))
        if kind == "Dense":
            save_file(
                {"linear.weight": weights(seed)["a.weight"]}, folder / place / "model.safetensors"
            )
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def files_of(folder):
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("inside", ["", "0_Transformer"])
def test_a_sentence_model_is_merged_to_one_with_all_its_modules(inside, tmp_path, caplog):
    base = sentence_folder(tmp_path / "base", 0, inside, dense=True)
    models = [sentence_folder(tmp_path / "x", 1, inside), sentence_folder(tmp_path / "y", 2)]
    with caplog.at_level(logging.WARNING):
        out = mc.write_merge(mc.Family.open(base, models), "linear", tmp_path / "out")
    assert "2_Dense/ holds trained layers that are not merged: the base's are taken" in caplog.text
    assert files_of(out) == {
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "config.json",
        "config_sentence_transformers.json",
        "mergecast.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "vocab.txt",
    }
    modules = json.loads((out / "modules.json").read_text())
    assert [one["path"] for one in modules] == ["", "1_Pooling", "2_Dense", "3_Normalize"]
    assert json.loads((out / "config.json").read_text()) == CONFIG
    merged = load_file(out / "model.safetensors")
    for name, value in merged.items():
        mean = (weights(1)[name] + weights(2)[name]) / 2
        np.testing.assert_allclose(value, mean, atol=1e-6)
    again = mc.Family.open(out, models)  # what was written is read as what it is
    assert again.shared == ("a.weight", "b.weight")


def test_pooling_is_compared_wherever_the_network_lies(tmp_path):
    base = sentence_folder(tmp_path / "base", 0, "0_Transformer")
    cls = sentence_folder(tmp_path / "x", 1, pooling="cls")
    same = sentence_folder(tmp_path / "y", 2, "0_Transformer")
    found = [one for one in mc.check(base, [cls, same]).findings if one.rule == "pooling"]
    assert [(one.about, one.message) for one in found] == [
        ("x", "1_Pooling says pooling_mode = cls, the base's mean")
    ]


def test_a_merge_never_lands_in_the_folder_around_its_base(tmp_path):
    base = sentence_folder(tmp_path / "base", 0, "0_Transformer")
    family = mc.Family.open(base, [sentence_folder(tmp_path / "x", 1)])
    for out in (base, base / "merged"):
        with pytest.raises(UsageError, match="the input"):
            mc.write_merge(family, "linear", out, overwrite=True)
    assert (base / "0_Transformer/model.safetensors").is_file()


def test_a_folder_is_alone_where_nothing_above_names_it(tmp_path):
    base = sentence_folder(tmp_path / "base", 0, "0_Transformer")
    assert library_folder(base / "0_Transformer") == base
    assert [one.name for one in module_folders(base / "0_Transformer")] == ["1_Pooling"]
    assert library_folder(base / "1_Pooling") == base / "1_Pooling"  # no network
    (base / "modules.json").unlink()
    assert library_folder(base / "0_Transformer") == base / "0_Transformer"


def part_folder(folder, seed, *, shards=False):
    """A part of a pipeline as diffusers saves one."""
    folder.mkdir(parents=True)
    stem, values = "diffusion_pytorch_model", weights(seed)
    (folder / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    if not shards:
        save_file(values, folder / f"{stem}.safetensors")
        return folder
    files = {name: f"{stem}-0000{i}-of-00002.safetensors" for i, name in enumerate(values, 1)}
    for name, file in files.items():
        save_file({name: values[name]}, folder / file)
    index = {"metadata": {"total_size": 512}, "weight_map": files}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("shards", [False, True])
def test_a_pipeline_s_part_keeps_the_names_that_diffusers_looks_for(shards, tmp_path):
    base = part_folder(tmp_path / "base/unet", 0, shards=shards)
    models = {label: part_folder(tmp_path / label / "unet", seed)
              for seed, label in enumerate("xy", 1)}  # fmt: skip
    out = mc.write_merge(
        mc.Family.open(base, models), "linear", tmp_path / "out/unet", dtype="float16"
    )
    stem = "diffusion_pytorch_model"
    expected = {f"{stem}.safetensors"}
    if shards:
        expected = {f"{stem}-0000{i}-of-00002.safetensors" for i in (1, 2)}
        expected.add(f"{stem}.safetensors.index.json")
    assert files_of(out) == {"config.json", "mergecast.json", *expected}
    assert json.loads((out / "config.json").read_text()) == {"_class_name": "UNet2DModel"}
    again = Checkpoint.open(out)
    for name in ("a.weight", "b.weight"):
        mean = (weights(1)[name] + weights(2)[name]) / 2
        np.testing.assert_allclose(again.array(name), mean, atol=2e-3)
        assert again.info(name).dtype == np.float16


def test_names_follow_the_file_that_is_read(tmp_path):
    part = part_folder(tmp_path / "part", 0)
    assert weights_name(part) == "diffusion_pytorch_model.safetensors"
    (part / "diffusion_pytorch_model.safetensors").rename(
        part / "diffusion_pytorch_model.fp16.safetensors"
    )
    assert weights_name(part) == "diffusion_pytorch_model.safetensors"
    assert weights_name(sentence_folder(tmp_path / "st", 0)) == "model.safetensors"
    assert weights_name(tmp_path / "st/model.safetensors") == "model.safetensors"
    (tmp_path / "empty").mkdir()
    assert weights_name(tmp_path / "empty") == "model.safetensors"


@pytest.mark.parametrize("inside", ["", "0_Transformer"])
def test_sentence_transformers_loads_the_merge(inside, tmp_path):
    library = pytest.importorskip("sentence_transformers", reason="it is not installed")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    models = pytest.importorskip("sentence_transformers.models")
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]
    plain = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]"
    )
    config = transformers.BertConfig(
        vocab_size=15, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=20,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = transformers.BertModel(config)
        for label in ("base", "x", "y"):
            network.save_pretrained(tmp_path / "bert")
            tokenizer.save_pretrained(tmp_path / "bert")
            parts = [
                models.Transformer(str(tmp_path / "bert")),
                models.Pooling(16, pooling_mode="cls"),
                models.Normalize(),
            ]
            library.SentenceTransformer(modules=parts, prompts={"q": "a "}).save(
                str(tmp_path / label)
            )
            with torch.no_grad():
                for value in network.parameters():
                    value.add_(0.02 * torch.randn(value.shape))
    if inside:
        for label in ("base", "x", "y"):
            place = tmp_path / label / inside
            place.mkdir()
            for file in [one for one in (tmp_path / label).iterdir() if one.is_file()]:
                if file.name not in ("modules.json", "config_sentence_transformers.json"):
                    shutil.move(file, place / file.name)
            path = tmp_path / label / "modules.json"
            modules = json.loads(path.read_text())
            modules[0]["path"] = inside
            path.write_text(json.dumps(modules))
    family = mc.Family.open(tmp_path / "base", [tmp_path / "x", tmp_path / "y"])
    out = mc.write_merge(family, "linear", tmp_path / "out")
    merged = library.SentenceTransformer(str(out))
    assert [type(part).__name__ for part in merged] == ["Transformer", "Pooling", "Normalize"]
    assert merged.prompts["q"] == "a "
    expected = library.SentenceTransformer(str(tmp_path / "base"))
    state = {name: value.clone() for name, value in expected.state_dict().items()}
    tuned = [library.SentenceTransformer(str(tmp_path / one)).state_dict() for one in "xy"]
    expected.load_state_dict(
        {
            name: (tuned[0][name] + tuned[1][name]) / 2 if value.is_floating_point() else value
            for name, value in state.items()
        }
    )
    texts = ["a b c", "j i", "d"]
    one, other = (model.encode(texts) for model in (merged, expected))
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert (
        np.abs(one - library.SentenceTransformer(str(tmp_path / "base")).encode(texts)).max() > 1e-3
    )


@pytest.mark.parametrize("limit", ["1GB", "2KB"])
def test_diffusers_loads_the_merge_as_the_part(limit, tmp_path):
    diffusers = pytest.importorskip("diffusers", reason="it is not installed")
    torch = pytest.importorskip("torch")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = diffusers.UNet2DModel(
            sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, norm_num_groups=2,
            block_out_channels=(4, 8), down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        )  # fmt: skip
        states = []
        for label in ("base", "x", "y"):
            unet.save_pretrained(tmp_path / label / "unet", max_shard_size=limit)
            states.append({name: value.clone() for name, value in unet.state_dict().items()})
            with torch.no_grad():
                for value in unet.parameters():
                    value.add_(0.01 * torch.randn(value.shape))
    family = mc.Family.open(
        tmp_path / "base/unet", {label: tmp_path / label / "unet" for label in "xy"}
    )
    out = mc.write_merge(family, "linear", tmp_path / "out")
    merged = diffusers.UNet2DModel.from_pretrained(out)
    assert dict(merged.config).keys() >= {"block_out_channels", "sample_size"}
    for name, value in merged.state_dict().items():
        torch.testing.assert_close(value, (states[1][name] + states[2][name]) / 2)
