"""Heads of tasks: each with its model, beside an encoder that is there once; never mixed unsaid."""

from __future__ import annotations

import json
import logging

import pytest
import torch

import mergecast as mc
from mergecast.cli.main import run
from mergecast.errors import UsageError

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
peft = pytest.importorskip("peft", reason="needs the hf extra")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
logging.getLogger("transformers").setLevel(logging.ERROR)

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
BERT = transformers.BertConfig(**SIZES, vocab_size=40, max_position_embeddings=20)
VIT = transformers.ViTConfig(**SIZES, image_size=16, patch_size=8)
LABELS = {"a": ["no", "yes"], "b": ["bad", "so-so", "good"], "c": ["w", "x", "y", "z"]}


def moved(model, seed, share=0.02):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(share * torch.randn(value.shape, generator=generator))
    return model


def labelled(label):
    names = dict(enumerate(LABELS[label]))
    return {"id2label": names, "label2id": {name: number for number, name in names.items()}}


def family_of(folder, base_class, config, tuned, lora=(), targets=("query", "value")):
    """A base and models a, b, c on disk, as transformers and PEFT save them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base_class(config).save_pretrained(folder / "base")
        for seed, label in enumerate(LABELS, start=1):
            model = tuned.from_pretrained(
                folder / "base", **labelled(label), ignore_mismatched_sizes=True
            )
            if label in lora:
                settings = peft.LoraConfig(
                    r=2, target_modules=list(targets), modules_to_save=["classifier"]
                )
                model = peft.get_peft_model(model, settings)
            moved(model, seed).save_pretrained(folder / label)
    return folder / "base", [folder / label for label in LABELS]


def whole(folder, base, tuned, label, lora=()):
    """A model as the libraries load it."""
    if label not in lora:
        return tuned.from_pretrained(folder / label)
    adapted = tuned.from_pretrained(base, **labelled(label), ignore_mismatched_sizes=True)
    return peft.PeftModel.from_pretrained(adapted, folder / label).merge_and_unload()


CASES = {
    "bert": (transformers.BertForPreTraining, BERT, transformers.BertForSequenceClassification, ()),
    "bert-bare": (transformers.BertModel, BERT, transformers.BertForSequenceClassification, ("b",)),
    "bert-saved": (
        transformers.BertForSequenceClassification,
        BERT,
        transformers.BertForSequenceClassification,
        ("a", "c"),
    ),
    "vit": (transformers.ViTModel, VIT, transformers.ViTForImageClassification, ()),
    "vit-lora": (
        transformers.ViTModel,
        VIT,
        transformers.ViTForImageClassification,
        ("a", "b", "c"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_model_s_folder_answers_as_the_merged_encoder_with_its_head(case, tmp_path, capsys):
    base_class, config, tuned, lora = CASES[case]
    targets = ("q_proj", "v_proj") if "vit" in case else ("query", "value")
    base, models = family_of(tmp_path, base_class, config, tuned, lora, targets)
    out = tmp_path / "out"
    command = ["merge", "--method", "weight_avg", "--heads", "-o", str(out), str(base)]
    assert run([*command, *map(str, models)]) == 0
    printed = capsys.readouterr()
    assert "head    the folder is the encoder alone; kept with each model: a: classifier" in (
        printed.out
    )
    assert "warning" not in printed.err
    loaded = {label: whole(tmp_path, base, tuned, label, lora) for label in LABELS}
    states = [model.base_model.state_dict() for model in loaded.values()]
    average = {name: sum(state[name] for state in states) / 3 for name in states[0]}
    in_memory = mc.merge(mc.Family.open(base, models), "weight_avg", heads=True)
    torch.manual_seed(0)
    pixels = {"pixel_values": torch.randn(3, 3, 16, 16)}
    inputs = pixels if "vit" in case else {"input_ids": torch.randint(0, 40, (3, 7))}
    for label, model in loaded.items():
        model.base_model.load_state_dict(average)
        auto = "ImageClassification" if "vit" in case else "SequenceClassification"
        written, report = getattr(transformers, f"AutoModelFor{auto}").from_pretrained(
            out / "heads" / label, output_loading_info=True
        )
        assert not report["missing_keys"]
        with torch.no_grad():
            want = model.eval()(**inputs).logits
            torch.testing.assert_close(written.eval()(**inputs).logits, want)
        names = list(written.config.id2label.values())
        assert names == LABELS[label] or (label in lora and len(names) == len(LABELS[label]))
        again = mc.Checkpoint.open(out / "heads" / label)
        assert set(again.names) | set(again.tied) == set(in_memory[label]) | set(again.tied)
        for name, value in in_memory[label].items():
            torch.testing.assert_close(torch.from_numpy(again.array(name)), value)
        encoder = out / "heads" / label / "encoder.safetensors"
        assert encoder.samefile(out / "model.safetensors")
    config = json.loads((out / "config.json").read_text())
    assert config["architectures"] == [type(loaded["a"].base_model).__name__]
    assert not {"id2label", "label2id"} & set(config)
    assert not any(name.startswith(("classifier", "cls")) for name in mc.Checkpoint.open(out).names)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A base saved with a head of its own, which nobody trained, and models with theirs."""
    tuned = transformers.BertForSequenceClassification
    return family_of(tmp_path_factory.mktemp("saved"), tuned, BERT, tuned)


def test_a_base_s_head_in_the_output_is_said_by_every_command(saved, tmp_path, capsys):
    base, models = saved
    text = "models have a classifier of their own: a merged folder carries the base's"
    assert run(["check", str(base), *map(str, models)]) == 0
    assert text in capsys.readouterr().out
    assert run(["merge", "--method", "weight_avg", str(base), *map(str, models), "-o",
                str(tmp_path / "out")]) == 0  # fmt: skip
    printed = capsys.readouterr()
    assert text in printed.err
    assert "head    the folder carries the base's classifier, not merged; left out" in printed.out
    forecast = mc.forecast(base, models, forecaster="suites")
    assert any(text in warning for warning in forecast.warnings)
    record = json.loads((tmp_path / "out" / "mergecast.json").read_text())
    assert record["heads"] == {}
    assert "the base's classifier" in record["head"]


def shared_heads(folder, names):
    """Models of one number of classes, whose heads the base has, too."""
    tuned = transformers.BertForSequenceClassification
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tuned(BERT).save_pretrained(folder / "base")
        for seed, labels in enumerate(names, start=1):
            extra = {"id2label": dict(enumerate(labels))} if labels else {}
            model = tuned.from_pretrained(folder / "base", **extra)
            moved(model, seed).save_pretrained(folder / f"m{seed}")
    return folder / "base", [folder / f"m{seed}" for seed in range(1, len(names) + 1)]


@pytest.mark.parametrize(
    ("names", "severity"),
    [
        ((None, None), "warning"),
        ((["no", "yes"], None), "warning"),
        ((["no", "yes"], ["up", "down"]), "warning"),
        ((["no", "yes"], ["no", "yes"]), "note"),
    ],
)
def test_an_average_of_heads_is_warned_of_where_nothing_says_that_the_task_is_one(
    names, severity, tmp_path
):
    base, models = shared_heads(tmp_path, names)
    found = {one.rule: one for one in mc.check(base, models).findings}
    assert found["shared head"].severity == severity
    out = mc.write_merge(mc.Family.open(base, models), "weight_avg", tmp_path / "out")
    record = json.loads((out / "mergecast.json").read_text())
    assert record["head"] == "the folder carries classifier, averaged with the rest"
    assert ("nothing says that the tasks are one" in str(record["warnings"])) == (
        severity == "warning"
    )
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(out)
    said = list(loaded.config.id2label.values())
    assert said == (["no", "yes"] if severity == "note" else ["LABEL_0", "LABEL_1"])


def test_heads_that_the_base_shares_stay_with_their_models(tmp_path):
    base, models = shared_heads(tmp_path, (["no", "yes"], ["up", "down"]))
    family = mc.Family.open(base, models)
    out = mc.write_merge(family, "ties", tmp_path / "out", heads=True, members=["m2"])
    assert [place.name for place in (out / "heads").iterdir()] == ["m2"]
    head = mc.Checkpoint.open(out / "heads" / "m2").array("classifier.weight")
    assert (head == mc.Checkpoint.open(models[1]).array("classifier.weight")).all()
    assert json.loads((out / "mergecast.json").read_text())["warnings"] == []
    assert "classifier.weight" not in mc.Checkpoint.open(out).names
    assert mc.check(out, [out / "heads" / "m2"], strict=True).family.names == ("m2",)


def test_language_models_have_no_head_to_keep(tmp_path):
    config = transformers.LlamaConfig(**SIZES, vocab_size=40, num_key_value_heads=2)
    for number, label in enumerate(("base", "a", "b")):
        torch.manual_seed(0)
        model = moved(transformers.LlamaForCausalLM(config), number, 0.02 * (number > 0))
        model.save_pretrained(tmp_path / label)
    models = [tmp_path / "a", tmp_path / "b"]
    assert "shared head" not in {one.rule for one in mc.check(tmp_path / "base", models).findings}
    family = mc.Family.open(tmp_path / "base", models)
    for merge in (mc.merge, lambda *given, **rest: mc.write_merge(*given, tmp_path / "o", **rest)):
        with pytest.raises(UsageError, match="no model has one of its own"):
            merge(family, "weight_avg", heads=True)


def test_a_model_without_a_tokenizer_of_its_own_keeps_its_base_s(tmp_path):
    """Without one, transformers makes an empty tokenizer and says nothing."""
    base, models = family_of(
        tmp_path, transformers.BertModel, BERT, transformers.BertForSequenceClassification
    )
    (base / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "base"]))
    (base / "tokenizer_config.json").write_text("{}")
    (models[1] / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "own"]))
    mc.write_merge(mc.Family.open(base, models[:2]), "weight_avg", tmp_path / "out", heads=True)
    first, second = (tmp_path / "out/heads" / one.name for one in models[:2])
    assert (first / "vocab.txt").read_text() == (base / "vocab.txt").read_text()
    assert (first / "tokenizer_config.json").read_text() == "{}"
    assert json.loads((first / "config.json").read_text())["id2label"]
    assert (second / "vocab.txt").read_text() == (models[1] / "vocab.txt").read_text()
    assert not (second / "tokenizer_config.json").exists()
