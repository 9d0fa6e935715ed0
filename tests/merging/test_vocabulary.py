"""Members with tokens of their own: rows matched by token, new ones kept from their owners."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch

import mergecast as mc
from mergecast.cli.main import run
from mergecast.errors import CheckpointError, FamilyError, UsageError

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
peft = pytest.importorskip("peft", reason="needs the hf extra")
tokenizers = pytest.importorskip("tokenizers", reason="needs the hf extra")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
logging.getLogger("transformers").setLevel(logging.ERROR)

WORDS = ["[PAD]", "[UNK]", "</s>", *(f"w{number}" for number in range(21))]
TEXT = "w1 w2 w3 w20 w5"


def tokenizer_of(words, *added):
    model = tokenizers.models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]")
    built = tokenizers.Tokenizer(model)
    built.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=built, unk_token="[UNK]", pad_token="[PAD]", eos_token="</s>"
    )
    made.add_tokens(list(added))
    return made


def family_of(folder, tied, rows=24, lora=()):
    """A base of 24 tokens; a and b add two each at the same rows, one of them called the same."""
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, vocab_size=rows, tie_word_embeddings=tied,
        bos_token_id=None, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    added = {"base": (), "a": ("<a>", "<both>"), "b": ("<both>", "<b>")}
    for seed, (label, tokens) in enumerate(added.items()):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = transformers.LlamaForCausalLM(config)
            if tokens:
                model.resize_token_embeddings(max(rows, 26), mean_resizing=False)
            torch.manual_seed(seed)
            if label in lora:
                settings = peft.LoraConfig(
                    r=2, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]
                )
                model = peft.get_peft_model(model, settings)
            with torch.no_grad():
                for value in model.parameters():
                    if seed and value.requires_grad:
                        value.add_(0.02 * torch.randn(value.shape))
        model.save_pretrained(folder / label)
        tokenizer_of(WORDS, *tokens).save_pretrained(folder / label)
    return folder / "base", [folder / "a", folder / "b"]


def loaded(folder):
    return (
        transformers.AutoModelForCausalLM.from_pretrained(folder).eval(),
        transformers.AutoTokenizer.from_pretrained(folder),
    )


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("rows", [24, 32])
def test_the_union_holds_every_token_at_the_row_of_its_owner(tied, rows, tmp_path, capsys):
    """Rows 24 and 25 are other tokens in a and in b; with 32 rows they were padding in the base."""
    base, models = family_of(tmp_path, tied, rows)
    out = tmp_path / "out"
    command = ["merge", "--method", "weight_avg", "--vocabulary", "union", "-o", str(out)]
    assert run([*command, str(base), *map(str, models)]) == 0
    said = capsys.readouterr().out
    assert "tokens  rows of the base's tokens merged by token" in said
    assert "new ones kept from their owners: 1 of a, first '<a>'; 1 of a, b, first '<both>'" in said
    merged, tokens = loaded(out)
    assert len(tokens) == 27
    assert tokens.convert_ids_to_tokens([23, 24, 25, 26]) == ["w20", "<a>", "<both>", "<b>"]
    states = {place.name: loaded(place)[0].state_dict() for place in (base, *models)}
    for name, value in merged.state_dict().items():
        one, other = states["a"][name], states["b"][name]
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            assert len(value) == max(rows, 27)
            new = [one[24], (one[25] + other[24]) / 2, other[25]]
            torch.testing.assert_close(value[24:27], torch.stack(new))
            one, other, value = one[:24], other[:24], value[:24]
        torch.testing.assert_close(value, (one + other) / 2)


def test_what_was_said_before_is_said_after_for_old_tokens(tmp_path):
    base, models = family_of(tmp_path, tied=False)
    outs = {}
    for mode in ("base", "union"):
        family = mc.Family.open(base, models, vocabulary=mode)
        outs[mode] = mc.write_merge(family, "ties", tmp_path / f"out-{mode}")
    (plain, old), (wide, new) = (loaded(outs[mode]) for mode in ("base", "union"))
    assert old(TEXT) == new(TEXT)
    assert len(old) == plain.config.vocab_size == 24
    with torch.no_grad():
        before, after = (m(**old(TEXT, return_tensors="pt")).logits for m in (plain, wide))
    torch.testing.assert_close(after[..., :24], before)
    assert new("w1 <b> <a>")["input_ids"] == [4, 26, 24]
    assert mc.merge(mc.Family.open(base, models, vocabulary="union"), "ties")[
        "model.embed_tokens.weight"
    ].shape == (27, 16)


def test_an_adapter_with_its_own_embeddings(tmp_path):
    base, models = family_of(tmp_path, tied=False, lora=("a",))
    family = mc.Family.open(base, models, vocabulary="union")
    merged, tokens = loaded(mc.write_merge(family, "weight_avg", tmp_path / "out"))
    adapter = mc.Checkpoint.open(models[0], mc.Checkpoint.open(base))
    rows = torch.from_numpy(adapter.array("model.embed_tokens.weight"))
    other = loaded(models[1])[0].state_dict()["model.embed_tokens.weight"]
    value = merged.state_dict()["model.embed_tokens.weight"]
    torch.testing.assert_close(value[tokens.convert_tokens_to_ids("<a>")], rows[24])
    torch.testing.assert_close(value[:24], (rows[:24] + other[:24]) / 2)


def test_tokens_in_another_order_are_brought_into_the_base_s(tmp_path):
    base, models = family_of(tmp_path, tied=True)
    shuffled = [*WORDS[:3], *reversed(WORDS[3:])]
    tokenizer_of(shuffled).save_pretrained(models[1])
    model, _ = loaded(models[1])
    order = [shuffled.index(word) for word in WORDS]
    assert any(f.rule == "tokenizer" and f.severity == "error"
               for f in mc.check(base, [models[1]], strict=False).findings)  # fmt: skip
    family = mc.Family.open(base, [models[1]], vocabulary="base")
    assert {f.rule for f in mc.check(base, [models[1]], vocabulary="base").findings} >= {
        "vocabulary"
    }
    merged = mc.merge(family, "weight_avg")["model.embed_tokens.weight"]
    torch.testing.assert_close(merged, model.get_input_embeddings().weight.data[order])


def test_by_default_they_are_refused_and_the_remedy_is_true(tmp_path, capsys):
    base, models = family_of(tmp_path, tied=True)
    assert run(["check", str(base), *map(str, models)]) == 4
    assert "vocabulary of 26 rows" in (said := capsys.readouterr().err)
    assert "--vocabulary union keeps new ones, base does not" in said
    assert run(["check", "--vocabulary", "union", str(base), *map(str, models)]) == 0
    assert "new ones kept from their owners" in capsys.readouterr().out
    with pytest.raises(UsageError, match="vocabulary 'both': unknown; known: base, union"):
        mc.check(base, models, vocabulary="both")


def test_rows_of_no_known_token_are_refused(tmp_path):
    base, models = family_of(tmp_path, tied=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (models[0] / name).unlink()
    with pytest.raises(FamilyError, match=r"a: holds no tokenizer that says which .* \(26 in the"):
        mc.Family.open(base, models, vocabulary="union")
    assert set(mc.check(base, models, vocabulary="union").refused) == {"a"}


def test_tokens_of_another_tokenizer_model_are_not_added(tmp_path):
    base, models = family_of(tmp_path, tied=True)
    tokenizer_of([*WORDS, "more", "words"]).save_pretrained(models[0])
    family = mc.Family.open(base, models, vocabulary="union")
    with pytest.raises(CheckpointError, match="'more' is of the tokenizer's own model, not added"):
        mc.write_merge(family, "weight_avg", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_any_part_of_a_tensor_reads_as_the_whole(tmp_path):
    base, models = family_of(tmp_path, tied=False)
    tokenizer_of([*WORDS[:3], *reversed(WORDS[3:])], "<a>", "<both>").save_pretrained(models[0])
    block = mc.Family.open(base, models, vocabulary="base").block("model.embed_tokens.weight")
    whole_base, whole = block.base, block.deltas
    assert whole.shape == (2, 24, 16)
    for start, stop in ((0, 7), (5, 40), (350, 384), (383, 384)):
        part_base, part = block.part(start, stop)
        np.testing.assert_array_equal(part_base, whole_base.reshape(-1)[start:stop])
        np.testing.assert_array_equal(part, whole.reshape(2, -1)[:, start:stop])


def test_heads_and_tokens_go_together(tmp_path):
    """A classifier on a decoder: every model's folder has the union's tokenizer and rows."""
    base, models = family_of(tmp_path, tied=True)
    for number, place in enumerate(models, start=1):
        model = transformers.LlamaForSequenceClassification.from_pretrained(
            place, num_labels=2 + number
        )
        model.save_pretrained(place)
    family = mc.Family.open(base, models, vocabulary="union")
    out = mc.write_merge(family, "weight_avg", tmp_path / "out", heads=True)
    for number, label in enumerate(("a", "b"), start=1):
        folder = out / "heads" / label
        model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, output_loading_info=True
        )
        assert not report["missing_keys"]
        assert model.config.num_labels == 2 + number
        tokens = transformers.AutoTokenizer.from_pretrained(folder)
        assert len(tokens) == model.config.vocab_size == 27
        assert json.loads((folder / "config.json").read_text())["vocab_size"] == 27
