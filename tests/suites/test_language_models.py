"""The suite of language models, on a Llama of thirty-two numbers and texts that the tests make."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import CheckpointError, ResourceError, UsageError
from mergecast.suites.encoders.data import Labelled
from mergecast.suites.language.model import convert, tokenizer_of, untied
from mergecast.suites.language.model import weights as weights_of
from mergecast.suites.language.prompts import PROMPTS
from mergecast.suites.language.recipe import LanguageRecipe
from mergecast.suites.language.suite import Language
from mergecast.suites.run import run_suite
from mergecast.suites.suite import SUITES
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from mergecast.tasks.completions import encode
from mergecast.tasks.measure import measure
from mergecast.tasks.probe import Probe
from mergecast.tasks.scores import cross_entropy
from mergecast.testing import check_suite

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves

WORDS = [f"w{k}" for k in range(30)]
MODEL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}


def texts(seed, classes):
    draw = random.Random(seed)
    rows = []
    for _ in range(300):
        label = draw.randrange(classes)
        own = [f"w{label * 7 + draw.randrange(7)}" for _ in range(4)]
        rows.append((" ".join([*own, draw.choice(WORDS)]), f"c{label}"))
    return Labelled.of([text for text, _ in rows], [label for _, label in rows])


def vocabulary():
    asked = " ".join(f"{prompt.ask} {prompt.reply}" for prompt in PROMPTS.values())
    said = asked.replace("{text}", "").replace("{label}", "").replace(":", " : ").split()
    names = ["[PAD]", "[UNK]", *dict.fromkeys(said), *WORDS, "c0", "c1", "c2"]
    return {name: place for place, name in enumerate(names)}


def model_folder(folder, tied=True):
    words = vocabulary()
    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=len(words), tie_word_embeddings=tied, **MODEL)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    built = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    built.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=built, unk_token="[UNK]", eos_token="[PAD]"
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache as `fetch` leaves it."""
    root = tmp_path_factory.mktemp("cache")
    data = root / "suites" / "lm-6" / "data"
    model_folder(data / "smollm2-135m")
    for seed, task in enumerate(Language.tasks):
        texts(seed, 2 + seed % 2).save(data / f"{task}.npz")
    (data / "manifest.json").write_text(json.dumps(Language()._identity()))
    _pre_train(data)
    return root


def _pre_train(data):
    """Let the base see a little of every task, so that it answers at all."""
    model = transformers.AutoModelForCausalLM.from_pretrained(data / "smollm2-135m")
    tokenizer = tokenizer_of(data / "smollm2-135m")
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(36):
        task = Language.tasks[step % len(Language.tasks)]
        rows = PROMPTS[task].rows(Labelled.load(data / f"{task}.npz"), 8)[:64]
        inputs, labels = encode(tokenizer, rows, 24)
        loss = cross_entropy(model(**inputs).logits, labels).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(data / "smollm2-135m")


@pytest.fixture
def ready(cache, monkeypatch):
    monkeypatch.setenv("MERGECAST_CACHE", str(cache))
    return SUITES.get("lm-6")


def recipe(**more):
    small = {"steps": 80, "rate": 2e-2, "batch": 16, "warmup": 4, "max_length": 24}
    return LanguageRecipe.of({**small, "n_train": 150, "n_test": 40, "n_calibration": 20, **more})


def loss(suite, told, task, state):
    made = suite.task(told, task)
    probe = Probe(made)
    probe.load(state)
    return measure(probe, made.samples(None, 0, "test")).values["loss"]


@pytest.mark.parametrize("regime", ["lora", "full"])
def test_a_model_learns_the_replies_of_its_task(ready, regime):
    told = recipe(regime=regime, rate=2e-2 if regime == "lora" else 3e-3)
    base = ready.base(told, 0)
    assert "lm_head.weight" not in base  # the embedding again
    for task in ("bbc", "tweets"):  # exact match, likelihood
        tuned = ready.fine_tune(told, 0, task, base)
        assert tuned.keys() == base.keys()
        before, after = (loss(ready, told, task, state) for state in (base, tuned))
        assert after < 0.9 * before
        moved = {name for name in base if not torch.equal(base[name], tuned[name])}
        if regime == "lora":
            ranks = {torch.linalg.matrix_rank(tuned[n] - base[n], rtol=1e-4).item() for n in moved}
            assert max(ranks) <= told.rank
            assert not any("embed" in name or "norm" in name for name in moved)
        else:
            assert any("embed" in name for name in moved)


def test_the_laws_of_suites_hold(ready):
    check_suite(ready.name)


def test_a_run_scores_merges_by_exact_match_and_likelihood(ready, tmp_path):
    told = recipe()
    folder = tmp_path / "run"
    run_suite(
        ready.name,
        folder,
        recipe=told,
        only=["bbc", "spam", "tweets"],
        methods=["weight_avg", "task_arithmetic(scaling=1)"],
        n_sets=0,
        tier="labels",
        workers=1,
    )
    outcomes = OutcomeTable.read(folder / "outcomes.parquet").frame
    assert set(outcomes["suite"]) == {"lm-6/smollm2-135m/lora"}
    assert len(outcomes) == 3 * 2 * 2
    single = outcomes.groupby("task")["single_score"].first()
    assert single["bbc"] * 40 == pytest.approx(round(single["bbc"] * 40))  # a share of 40 samples
    assert single["tweets"] * 40 != pytest.approx(round(single["tweets"] * 40), abs=1e-3)
    pairs = PairTable.read(folder / "pairs.parquet").frame
    forecast = pairs["superposed_expected_labelled@weight_avg:left<-right"]
    assert forecast.notna().all()


def test_another_model_takes_its_place_by_folder(ready, tmp_path):
    mine = model_folder(tmp_path / "mine", tied=False)
    told = recipe(backbone=str(mine))
    assert ready.label(told) == "lm-6/mine/lora"
    assert "lm_head.weight" in ready.base(told, 0)
    with pytest.raises(UsageError, match="'nowhere'.*neither a model of the suite nor a folder"):
        ready.check(recipe(backbone="nowhere"))
    write_safetensors(mine / "model.safetensors", {"x": np.ones(1, dtype=np.float32)})
    with pytest.raises(CheckpointError, match="lacks lm_head.weight of its architecture"):
        ready.base(told, 0)


def test_without_its_data_it_says_how_to_fetch_them(tmp_path, monkeypatch):
    monkeypatch.setenv("MERGECAST_CACHE", str(tmp_path))
    with pytest.raises(ResourceError, match="run `mergecast bench fetch lm-6`"):
        SUITES.get("lm-6").check(recipe())


def test_a_gguf_file_becomes_a_folder_of_transformers(tmp_path):
    gguf = pytest.importorskip("gguf", reason="needs the bench extra")
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(vocab_size=40, tie_word_embeddings=True, **MODEL)
    )
    (tmp_path / "in").mkdir()
    written = gguf_file(gguf, model, tmp_path / "in" / "m.gguf")
    convert(written, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "quantization_config" not in config
    found, expected = weights_of(tmp_path / "out"), untied(model)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "out").decode([11, 3]) == "w12"
    (tmp_path / "in" / "broken.gguf").write_bytes(b"nothing" * 9)
    with pytest.raises(ResourceError, match=r"broken\.gguf: cannot be read"):
        convert(tmp_path / "in" / "broken.gguf", tmp_path / "no")


_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.layers.": "blk.",
}


def gguf_file(gguf, model, path):
    """A model as llama.cpp stores it: its names, and query and key rows in its own order."""
    writer = gguf.GGUFWriter(path, "llama")
    config = model.config
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    tokens = ["w", *"0123456789", "w1", *"abcdefghijklmnopqrstuv", "x", "y", "z", "A", "B", "C"]
    writer.add_token_list(tokens)
    writer.add_token_merges(["w 1"])
    writer.add_eos_token_id(0)
    for name, value in untied(model).items():
        array = value.numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        for part, count in heads.items():
            if part in name:
                shape = (count, 2, array.shape[0] // count // 2, array.shape[1])
                array = array.reshape(shape).swapaxes(1, 2).reshape(array.shape)
        for ours, theirs in _NAMES.items():
            name = name.replace(ours, theirs)
        writer.add_tensor(name, np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
