"""Adapters' own heads beside a merged one: PEFT loads each, and it answers as the whole merge."""

from __future__ import annotations

import json
import logging

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import mergecast as mc
from mergecast.checkpoints import Checkpoint
from mergecast.cli.main import run
from mergecast.errors import CheckpointError, UsageError

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
peft = pytest.importorskip("peft", reason="needs the hf extra")
from adapter_case import BERT, classifiers, loaded  # noqa: E402
from adapter_heads_case import (  # noqa: E402
    BARE,
    CASES,
    SEQUENCE,
    TEXT,
    answers,
    both,
    config_of,
    on_base,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
logging.getLogger("transformers").setLevel(logging.ERROR)


@pytest.mark.parametrize("method", ["linear", "task_arithmetic(scaling=0.7)"])
@pytest.mark.parametrize("case", CASES)
def test_every_head_answers_as_on_the_whole_merge(case, method, tmp_path, caplog):
    base_class, config, members, with_heads = CASES[case]
    base, models = classifiers(tmp_path, base_class, config, members)
    whole, out = both(tmp_path, base, models, method)
    assert "left out" not in caplog.text
    record = json.loads((out / "mergecast.json").read_text())
    assert record["heads"] == {label: f"heads/{label}" for label in with_heads}
    assert sorted(one.name for one in (out / "heads").iterdir()) == sorted(with_heads)
    for label in with_heads:
        model_class, count, settings = members[label]
        place = out / "heads" / label
        answered = answers(on_base(model_class, base, count, place))
        expected = answers(model_class.from_pretrained(whole / "heads" / label))
        torch.testing.assert_close(answered, expected, atol=1e-5, rtol=0)
        assert answered.shape[-1] == count
        alone = peft.PeftModel.from_pretrained(loaded(model_class, base, count), models[label])
        assert (answered - answers(alone)).abs().max() > 1e-3
        said, own = config_of(place), config_of(models[label])
        assert said["task_type"] == own["task_type"] == settings.get("task_type")
        assert said["auto_mapping"] == own["auto_mapping"]
        assert set(own["modules_to_save"] or ()) <= set(said["modules_to_save"] or ())
        again, merged = Checkpoint.open(place, base=Checkpoint.open(base)), whole / "heads" / label
        for name in Checkpoint.open(merged).names:
            if name in again.names:
                one, other = again.floats(name), Checkpoint.open(merged).floats(name)
                torch.testing.assert_close(
                    torch.from_numpy(one), torch.from_numpy(other), atol=2e-6, rtol=0
                )


def test_the_merged_adapter_is_without_heads_and_others_are_named(tmp_path, caplog):
    base_class, config, members, _ = CASES["heads of the base's shape, which all share"]
    base, models = classifiers(tmp_path, base_class, config, members)
    _, out = both(tmp_path, base, models)
    said = config_of(out)
    assert (said["task_type"], said["modules_to_save"]) == (None, None)
    stored = load_file(out / "adapter_model.safetensors")
    assert all(".lora_" in name for name in stored)
    record = json.loads((out / "mergecast.json").read_text())
    assert record["head"] == (
        "the adapter carries no task's head; kept with each model: a: classifier; b: classifier; "
        "without one of its own: c"
    )
    assert record["warnings"] == []
    for label in "ab":
        held = load_file(out / "heads" / label / "adapter_model.safetensors")
        own = load_file(models[label] / "adapter_model.safetensors")
        name = "base_model.model.classifier.weight"
        assert (held[name] == own[name]).all()
        assert held.keys() - stored.keys() == {name, name.replace("weight", "bias")}
        assert all((held[one] == stored[one]).all() for one in stored)
    mixed = mc.write_merge(mc.Family.open(base, models), "linear", tmp_path / "mixed", adapter=True)
    assert name in load_file(mixed / "adapter_model.safetensors")  # as without heads
    opened = mc.Family.open(base, {label: out / "heads" / label for label in "ab"})
    assert opened.names == ("a", "b")


def test_what_a_user_keeps_private_stays_with_each_model_by_its_own_factors(tmp_path):
    members = {"a": (SEQUENCE, 2, TEXT), "b": (SEQUENCE, 5, {**TEXT, "r": 3, "use_rslora": True})}
    base, models = classifiers(tmp_path, transformers.BertModel, BERT, members)
    whole, out = both(tmp_path, base, models, private=["encoder.layer.1.*"], rank=5)
    assert len(config_of(out)["target_modules"]) == 2
    for label, (model_class, count, settings) in members.items():
        place = out / "heads" / label
        answered = answers(on_base(model_class, base, count, place))
        expected = answers(model_class.from_pretrained(whole / "heads" / label))
        torch.testing.assert_close(answered, expected, atol=1e-5, rtol=0)
        said = config_of(place)
        ranks = {name.split(".")[3]: rank for name, rank in said["rank_pattern"].items()}
        assert ranks == {"0": 5, "1": settings["r"]}
        assert said["alpha_pattern"] == said["rank_pattern"]
        assert not said["use_rslora"]


@pytest.mark.parametrize("method", ["linear", "ties"])
def test_a_rank_cuts_merged_matrices_of_every_folder_alike(method, tmp_path):
    base_class, config, members, with_heads = CASES["decoders"]
    base, models = classifiers(tmp_path, base_class, config, members)
    _, out = both(tmp_path, base, models, method, rank=1, dtype="float16")
    merged = load_file(out / "adapter_model.safetensors")
    assert {value.dtype for value in merged.values()} == {torch.float16}
    for label in with_heads:
        held = load_file(out / "heads" / label / "adapter_model.safetensors")
        assert all((held[name] == value).all() for name, value in merged.items())
        assert config_of(out / "heads" / label)["r"] == config_of(out)["r"] == 1
        [head] = [held[name] for name in held if name not in merged]
        assert head.dtype == torch.float32  # as its model has it
        model_class, count, _ = members[label]
        on_base(model_class, base, count, out / "heads" / label)


def test_the_command_names_the_folders_and_their_cards_load_them(tmp_path, capsys):
    base_class, config, members, _ = CASES["other numbers of classes, and one without a head"]
    base, models = classifiers(tmp_path, base_class, config, members)
    (base / "tokenizer.json").write_text("{}")
    (models["b"] / "tokenizer.json").write_text('{"of": "b"}')
    out = tmp_path / "out"
    arguments = ["merge", "--method", "linear", "--adapter", "--heads", str(base),
                 *map(str, models.values()), "-o", str(out)]  # fmt: skip
    assert run(arguments) == 0
    printed = capsys.readouterr()
    assert "head    the adapter carries no task's head; kept with each model: a: classifier" in (
        printed.out
    )
    for label in "ab":
        assert f"model   {label} → {out / 'heads' / label}\n" in printed.out
    assert "left out: the adapter answers" not in printed.err
    assert (out / "tokenizer.json").read_text() == "{}"
    assert (out / "heads" / "a" / "tokenizer.json").read_text() == "{}"
    assert (out / "heads" / "b" / "tokenizer.json").read_text() == '{"of": "b"}'
    assert sorted(one.name for one in (out / "heads" / "a").iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "tokenizer.json",
    ]  # fmt: skip
    card = (out / "heads" / "b" / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert (front["base_model"], front["library_name"]) == (str(base), "peft")
    assert "# Merge of the adapters a, b, c, with the head of b\n" in card
    assert "Not merged, from b alone: classifier." in card
    lines = card.split("```python\n")[1].split("```")[0]
    named = {"folder": out / "heads" / "b"}
    exec(lines, named)
    assert answers(named["model"]).shape[-1] == 5
    assert run([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["heads"] == {label: str(out / "heads" / label) for label in "ab"}


def test_a_card_loads_on_a_base_whose_head_has_other_classes(tmp_path):
    base_class, config, members, _ = CASES[
        "a head adapted by factors, one whole, one of another size"
    ]
    base, models = classifiers(tmp_path, base_class, config, members)
    out = mc.write_merge(
        mc.Family.open(base, models), "linear", tmp_path / "out", adapter=True, heads=True
    )
    for label, count in (("a", 3), ("b", 3), ("c", 2)):
        card = (out / "heads" / label / "README.md").read_text()
        named = {"folder": out / "heads" / label}
        exec(card.split("```python\n")[1].split("```")[0], named)
        assert answers(named["model"]).shape[-1] == count
        assert ("ignore_mismatched_sizes" in card) == (label == "c")


def test_a_class_that_is_not_known_is_left_to_the_reader(tmp_path):
    settings = {**BARE, "modules_to_save": ["classifier"]}
    members = {"a": (SEQUENCE, 2, settings), "b": (SEQUENCE, 3, settings)}
    base, models = classifiers(tmp_path, transformers.BertModel, BERT, members)
    for model in models.values():
        path = model / "adapter_config.json"
        path.write_text(json.dumps(config_of(model) | {"auto_mapping": None}))
    out = mc.write_merge(
        mc.Family.open(base, models), "linear", tmp_path / "out", adapter=True, heads=True
    )
    card = (out / "heads" / "a" / "README.md").read_text()
    assert "# base: of the class and with as many labels as a was trained with" in card
    model_class, count, _ = members["a"]
    on_base(model_class, base, count, out / "heads" / "a")


def test_a_base_that_is_a_file_and_a_member_of_another_library(tmp_path):
    """kohya's files hold no head: what is private of them is kept by factors all the same."""
    base, models = classifiers(tmp_path, SEQUENCE, BERT, {"a": (SEQUENCE, 2, TEXT)})
    draw = torch.Generator().manual_seed(1)
    kohya = {}
    for layer in (0, 1):
        module = f"lora_unet_bert_encoder_layer_{layer}_attention_self_query"
        for side in ("down", "up"):
            value = 0.1 * torch.randn(2, 16, generator=draw)
            kohya[f"{module}.lora_{side}.weight"] = (
                value if side == "down" else value.T.contiguous()
            )
    save_file(kohya, tmp_path / "k.safetensors")
    family = mc.Family.open(
        base / "model.safetensors",
        [models["a"], tmp_path / "k.safetensors"],
        private=["*.layer.1.*"],
    )
    out = mc.write_merge(family, "linear", tmp_path / "out", adapter=True, heads=True)
    assert sorted(one.name for one in (out / "heads").iterdir()) == ["a", "k"]
    assert answers(on_base(SEQUENCE, base, 2, out / "heads" / "a")).shape == (3, 2)
    answered = answers(on_base(SEQUENCE, base, 3, out / "heads" / "k"))
    state, plain = loaded(SEQUENCE, base, 3), Checkpoint.open(base)
    alone = Checkpoint.open(tmp_path / "k.safetensors", base=plain)
    merged = mc.merge(family, "linear")
    kept = "bert.encoder.layer.1.attention.self.query.weight"
    state.load_state_dict({**merged, kept: torch.from_numpy(alone.array(kept))})
    torch.testing.assert_close(answered, answers(state), atol=1e-5, rtol=0)


def test_some_members_alone_keep_their_heads(tmp_path):
    base_class, config, members, _ = CASES["other numbers of classes, and one without a head"]
    base, models = classifiers(tmp_path, base_class, config, members)
    family = mc.Family.open(base, {"x/y": models["a"], "c": models["c"]})
    out = mc.write_merge(family, "linear", tmp_path / "out", adapter=True, heads=True)
    assert json.loads((out / "mergecast.json").read_text())["heads"] == {"x/y": "heads/x_y"}
    with pytest.raises(UsageError, match="no model has one of its own"):
        mc.write_merge(
            family, "linear", tmp_path / "other", members=["c"], adapter=True, heads=True
        )
    assert not (tmp_path / "other").exists()


def test_a_base_s_head_that_adapters_pass_on_is_nobody_s_own(tmp_path):
    members = {"a": (SEQUENCE, 3, BARE), "b": (SEQUENCE, 3, BARE)}
    base, models = classifiers(tmp_path, SEQUENCE, BERT, members)
    with pytest.raises(UsageError, match="no model has one of its own; leave heads out"):
        mc.write_merge(
            mc.Family.open(base, models), "linear", tmp_path / "out", adapter=True, heads=True
        )


def test_a_head_that_peft_would_not_load_is_refused(tmp_path):
    base_class, config, members, _ = CASES["pictures"]
    base, models = classifiers(tmp_path, base_class, config, members)
    path = models["a"] / "adapter_config.json"
    path.write_text(json.dumps(config_of(models["a"]) | {"modules_to_save": None}))
    with pytest.raises(CheckpointError, match="holds 'classifier.weight' whole, outside its mod"):
        mc.write_merge(
            mc.Family.open(base, models), "linear", tmp_path / "out", adapter=True, heads=True
        )
    assert not (tmp_path / "out").exists()
