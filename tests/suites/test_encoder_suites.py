"""Suites of pre-trained encoders, on a BERT of sixteen numbers and texts that the tests make."""

import json
import random

import pytest
import torch
from safetensors.torch import load_file, save_file

from mergecast.errors import ResourceError, UsageError
from mergecast.suites.encoders.data import Labelled
from mergecast.suites.run import run_suite
from mergecast.suites.suite import SUITES
from mergecast.suites.text.suite import MINILM, Text, TextRecipe
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from mergecast.testing import check_suite

transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")

WORDS = [f"w{k}" for k in range(40)]
TASKS = ("tweets", "bbc")
#: Those that the laws of suites try: the first two.
LAWFUL = Text.tasks[:2]


def texts(seed, classes):
    draw = random.Random(seed)
    rows = []
    for _ in range(300):
        label = draw.randrange(classes)
        own = [f"w{label * 7 + draw.randrange(7)}" for _ in range(3)]
        rows.append((" ".join([*own, *draw.choices(WORDS, k=draw.randrange(1, 9))]), f"c{label}"))
    return Labelled.of([text for text, _ in rows], [label for _, label in rows])


def encoder_folder(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True)
    config = transformers.BertConfig(
        vocab_size=len(WORDS) + 2,
        hidden_size=16,
        num_hidden_layers=6,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    config.save_pretrained(folder)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        bert = transformers.BertModel(config, add_pooling_layer=False)
    save_file(bert.state_dict(), folder / "model.safetensors")
    vocabulary = {"[PAD]": 0, "[UNK]": 1, **{word: k + 2 for k, word in enumerate(WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache as `fetch` leaves it, for two of the tasks."""
    root = tmp_path_factory.mktemp("cache")
    data = root / "suites" / "text-15" / "data"
    encoder_folder(data / "minilm")
    for seed, task in enumerate(dict.fromkeys([*TASKS, *LAWFUL])):
        texts(seed, 2 + seed % 2).save(data / f"{task}.npz")
    (data / "manifest.json").write_text(json.dumps(Text()._identity()))
    return root


@pytest.fixture
def ready(cache, monkeypatch):
    monkeypatch.setenv("MERGECAST_CACHE", str(cache))
    return SUITES.get("text-15")


def recipe(**more):
    small = {"backbone": "minilm-l3", "shots": 1, "steps": 60, "rate": 3e-3, "batch": 8}
    return TextRecipe.of({**small, "n_train": 150, "n_test": 50, "n_calibration": 20, **more})


def loss(suite, told, task, state):
    from mergecast.tasks.measure import measure
    from mergecast.tasks.probe import Probe

    made = suite.task(told, task)
    probe = Probe(made)
    probe.load(state)
    return measure(probe, made.samples(None, 0, "test")).values["loss"]


@pytest.mark.parametrize("told", [recipe(), recipe(regime="lora", rate=1e-2)], ids=["full", "lora"])
def test_fine_tuning_learns_beyond_the_head_and_leaves_the_embeddings(ready, told):
    base = ready.base(told, 0)
    assert {name.split(".")[4] for name in base if "layer." in name} == {"0", "1", "2"}
    tuned = ready.fine_tune(told, 0, "tweets", base)
    assert tuned.keys() == {*base, "head.weight", "head.bias"}
    moved = {name for name in base if not torch.equal(base[name], tuned[name])}
    assert moved
    assert not any("embeddings" in name for name in moved)
    if told.regime == "lora":
        assert all(tuned[name].dim() == 2 for name in moved)
        ranks = {torch.linalg.matrix_rank(tuned[n] - base[n], rtol=1e-4).item() for n in moved}
        assert max(ranks) <= told.rank
    probed = {**base, **{name: tuned[name] for name in tuned if name.startswith("head.")}}
    assert loss(ready, told, "tweets", tuned) < 0.9 * loss(ready, told, "tweets", probed)


def test_an_easy_model_has_a_head_of_all_training_samples_and_less_to_learn(ready):
    base = ready.base(recipe(), 0)
    left = {}
    for regime in ("full", "easy"):
        told = recipe(regime=regime, rate=None, steps=1)
        tuned = ready.fine_tune(told, 0, "tweets", base)
        head = {name: value for name, value in tuned.items() if name.startswith("head.")}
        left[regime] = loss(ready, told, "tweets", {**base, **head})
        length = max((tuned[name] - base[name]).abs().max() for name in base)
        assert length <= 1.1 * ready.rates["minilm-l3", regime]  # a step of AdamW
    assert left["easy"] < left["full"]
    assert 10 * ready.rates["minilm-l3", "easy"] == ready.rates["minilm-l3", "full"]


def test_the_laws_of_suites_hold(ready):
    check_suite(ready.name)


def test_the_same_seed_gives_the_same_model_and_another_does_not(ready):
    told = recipe(steps=2)
    base = ready.base(told, 0)
    ready.task(told, "bbc").samples(None, 0, "train")
    state = torch.random.get_rng_state()
    one, same, other = (ready.fine_tune(told, seed, "bbc", base) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    sgd = ready.fine_tune(recipe(steps=2, optimizer="sgd"), 0, "bbc", base)
    assert any(not torch.equal(one[name], sgd[name]) for name in one)


def test_a_run_measures_pairs_by_the_suites_own_recipes(ready, tmp_path):
    told = recipe(steps=3)
    out = run_suite("text-15", tmp_path, only=TASKS, recipe=told, tier="weights", workers=1)
    outcomes = OutcomeTable.read(out / "outcomes.parquet")
    assert sorted(outcomes.recipes) == sorted(ready.recipes)
    assert outcomes.suites == ["text-15/minilm-l3"]
    assert outcomes.frame["retention"].notna().all()
    assert PairTable.read(out / "pairs.parquet").frame["suite"].unique() == ["text-15/minilm-l3"]
    assert load_file(out / "models" / "bbc.safetensors")["head.weight"].shape == (3, 16)


def test_what_was_not_fetched_says_how_to(monkeypatch, tmp_path, cache):
    monkeypatch.setenv("MERGECAST_CACHE", str(tmp_path))
    with pytest.raises(ResourceError, match="not fetched.*bench fetch text-15"):
        run_suite("text-15", tmp_path / "run", only=TASKS)
    assert not (tmp_path / "run").exists()
    old = tmp_path / "suites" / "text-15" / "data"
    old.mkdir(parents=True)
    (old / "manifest.json").write_text("{}")
    with pytest.raises(ResourceError, match="made of other packages"):
        Text().prepared()


def test_a_failed_fetch_leaves_nothing_half_made(monkeypatch, tmp_path):
    monkeypatch.setenv("MERGECAST_CACHE", str(tmp_path))
    monkeypatch.setattr(Text, "packages", ())
    with pytest.raises(KeyError, match=MINILM.name):
        Text().fetch()
    assert list((tmp_path / "suites" / "text-15").iterdir()) == []


def test_a_finished_cache_is_left_as_it_is(ready, cache):
    assert ready.fetch() == f"text-15: all there, in {cache}/suites/text-15"
    assert not list((cache / "suites" / "text-15").glob("packages"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backbone": "minilm-l9"}, "backbone.*minilm-l9.*minilm-l3"),
        ({"regime": "half"}, "setting regime"),
        ({"step": 3}, "setting of the suite.*step.*steps"),
    ],
)
def test_settings_that_there_are_not(ready, settings, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        run_suite("text-15", tmp_path / "run", only=TASKS, recipe=TextRecipe.of(settings))


def test_labels_tell_backbones_and_regimes_apart(ready):
    assert ready.label(recipe()) == "text-15/minilm-l3"
    assert ready.label(recipe(regime="lora")) == "text-15/minilm-l3/lora"
    assert ready.label(recipe(regime="easy")) == "text-15/minilm-l3/easy"
    assert SUITES.get("digits-14").label(None) == "digits-14"
