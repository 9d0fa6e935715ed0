"""The paper's suite, on a tiny CLIP and pictures that the tests draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mergecast.errors import ResourceError, UsageError
from mergecast.suites.clip.data import ImageData
from mergecast.suites.clip.model import updates_of
from mergecast.suites.clip.recipe import ClipRecipe
from mergecast.suites.clip.sources import SOURCES
from mergecast.suites.run import run_suite
from mergecast.suites.suite import SUITES
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tasks.measure import measure
from mergecast.tasks.probe import Probe
from mergecast.testing import check_suite

transformers = pytest.importorskip("transformers")
datasets = pytest.importorskip("datasets")
tokenizers = pytest.importorskip("tokenizers")
image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
SIDE = 12
#: Names of classes, or none where the suite says them itself.
CLASSES = {"sun397": ["dark_room", "bright_room", "sky"], "cars": ["red", "blue"], "svhn": None}
PART = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 8,
}


def model_folder(folder):
    words = ["[PAD]", "[BOS]", "a", "photo", "of", "my", "the", "blurry", ".", ":", "number", '"']
    words += ["dark", "bright", "room", "sky", "red", "blue", *"0123456789", "[UNK]", "[EOS]"]
    places = {word: place for place, word in enumerate(words)}
    built = tokenizers.Tokenizer(tokenizers.models.WordLevel(places, unk_token="[UNK]"))
    built.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    built.post_processor = tokenizers.processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 1), ("[EOS]", places["[EOS]"])]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=built, unk_token="[UNK]", pad_token="[PAD]", eos_token="[EOS]"
    ).save_pretrained(folder)
    text = {"vocab_size": len(words), "max_position_embeddings": 20}
    config = transformers.CLIPConfig(
        text_config={**PART, **text, "eos_token_id": places["[EOS]"]},
        vision_config={**PART, "image_size": SIDE, "patch_size": 4},
        projection_dim=8,
    )
    torch.manual_seed(0)
    transformers.CLIPModel(config).save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    transformers.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=size).save_pretrained(
        folder
    )
    return folder


def pictures(task, rows, seed):
    """One class, one colour, with noise."""
    names = CLASSES[task]
    classes = len(names or "0123456789")
    draw = np.random.default_rng(seed)
    colours = np.random.default_rng(len(task)).integers(40, 216, (classes, 3))
    labels = draw.integers(0, classes, rows)
    noise = draw.integers(-30, 30, (rows, SIDE + 4, SIDE, 3))
    shown = [
        image.fromarray((colours[label] + one).clip(0, 255).astype("uint8"))
        for label, one in zip(labels, noise, strict=True)
    ]
    kind = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
    features = datasets.Features({"image": datasets.Image(), "label": kind})
    return datasets.Dataset.from_dict({"image": shown, "label": labels.tolist()}, features)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the model and three data sets."""
    folder = tmp_path_factory.mktemp("clip")
    model_folder(folder / "clip")
    for task in CLASSES:
        parts = {"train": pictures(task, 80, 0), "test": pictures(task, 30, 1)}
        datasets.DatasetDict(parts).save_to_disk(folder / "data" / task)
    return folder


def recipe(place, **more):
    given = ClipRecipe.quick().model_dump() | {"n_train": None}
    return ClipRecipe.of(
        {**given, "backbone": str(place / "clip"), "data": str(place / "data")} | more
    )


@pytest.fixture
def suite():
    return SUITES.get("clip-n20")


def test_it_has_the_twenty_tasks_of_the_paper(suite):
    assert len(suite.tasks) == 20
    assert suite.tasks[:8] == (
        "sun397", "cars", "resisc45", "eurosat", "svhn", "gtsrb", "mnist", "dtd"
    )  # fmt: skip
    assert all("{}" in text for source in SOURCES.values() for text in source.templates)


def test_splits_have_no_sample_in_common_and_classes_have_names(place):
    told = recipe(place)
    parts = {split: ImageData(told, "sun397", split) for split in ("train", "calibration", "test")}
    assert [len(part) for part in parts.values()] == [72, 8, 24]
    assert not {*parts["train"].rows} & {*parts["calibration"].rows}
    assert parts["train"].classes == ("dark room", "bright room", "sky")
    assert ImageData(told, "svhn", "test").classes == tuple("0123456789")
    assert len(ImageData(recipe(place, n_test=None), "cars", "test")) == 30


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_encoder_learns_under_the_head_that_class_names_make(suite, place, optimizer):
    rate = 3e-3 if optimizer == "adamw" else 3e-2
    told = recipe(place, updates=40, rate=rate, optimizer=optimizer, batch=16, accumulate=2)
    base = suite.base(told, 0)
    tuned = suite.fine_tune(told, 0, "sun397", base)
    assert tuned.keys() - base.keys() == {"head.weight", "head.bias"}
    task = suite.task(told, "sun397")
    probe, losses = Probe(task), []
    for state in (
        {**base, "head.weight": tuned["head.weight"], "head.bias": tuned["head.bias"]},
        tuned,
    ):
        probe.load(state)
        losses.append(measure(probe, task.samples(None, 0, "test")).values["loss"])
    assert losses[1] < 0.8 * losses[0]
    again = suite.fine_tune(told, 0, "sun397", base)
    assert all(torch.equal(tuned[name], again[name]) for name in tuned)
    ending = "" if optimizer == "adamw" else "/sgd"
    assert suite.label(told) == f"clip-n20/clip{ending}"


def test_the_zero_shot_answers_are_clip_s_own(suite, place):
    told = recipe(place)
    task = suite.task(told, "cars")
    state = suite.fine_tune(told, 0, "cars", suite.base(told, 0))
    model = transformers.CLIPModel.from_pretrained(place / "clip").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(place / "clip")
    samples = task.samples(6, 0)
    heads = []
    for name in ("red", "blue"):
        texts = [text.format(name) for text in SOURCES["cars"].templates]
        given = tokenizer(texts, padding=True, return_tensors="pt")
        given["pixel_values"] = samples.inputs["pixel_values"]
        with torch.no_grad():
            heads.append(model(**given).text_embeds.mean(dim=0))
    weight = torch.nn.functional.normalize(torch.stack(heads), dim=-1) * model.logit_scale.exp()
    torch.testing.assert_close(state["head.weight"], weight.detach(), rtol=1e-4, atol=1e-4)


def test_epochs_become_updates(place):
    told = recipe(place, updates=None, batch=64, accumulate=2)
    assert updates_of(told, "sun397", 1280) == 14 * 10
    assert updates_of(told, "mnist", 100) == 4  # five epochs of 100 in updates of 128


def test_the_laws_of_suites_hold(suite, place):
    told = recipe(place, n_train=24, updates=8, rate=1e-3)
    check_suite(suite.name, told)


def test_a_run_from_model_and_data_to_tables(suite, place, tmp_path):
    run_suite(
        suite.name,
        tmp_path / "run",
        recipe=recipe(place, updates=12, rate=3e-3, n_calibration=16),
        only=["sun397", "cars", "svhn"],
        methods=["weight_avg"],
        n_sets=0,
        tier="labels",
        workers=1,
    )
    outcomes = OutcomeTable.read(tmp_path / "run" / "outcomes.parquet").frame
    assert len(outcomes) == 6
    assert outcomes["retention"].notna().all()


@pytest.mark.parametrize(
    ("told", "error", "said"),
    [
        ({"backbone": "no such"}, UsageError, "is no folder, nor a name of the hub"),
        (
            {"backbone": "nobody/clip@none"},
            ResourceError,
            "nobody/clip@none: .*fetch clip-n20",
        ),
        ({"data": "nowhere"}, ResourceError, "nowhere/sun397 is no folder"),
    ],
)
def test_what_is_not_there_is_said(suite, place, told, error, said, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(error, match=said):
        given = recipe(place, **told)
        suite.check(given)
        suite.task(given, "sun397").samples(2, 0)


def test_data_sets_that_do_not_fit_are_named(suite, place, tmp_path):
    one = pictures("cars", 10, 0)
    datasets.DatasetDict(train=one).save_to_disk(tmp_path / "cars")
    told = recipe(place, data=str(tmp_path))
    with pytest.raises(UsageError, match="split 'test': unknown; known: train"):
        suite.task(told, "cars").samples(2, 0, "test")
    both = {"train": one.rename_column("label", "kind"), "test": one.rename_column("label", "kind")}
    datasets.DatasetDict(both).save_to_disk(tmp_path / "sun397")
    with pytest.raises(UsageError, match="does not name its classes"):
        suite.task(told, "sun397").samples(2, 0)
    (tmp_path / "svhn").mkdir()
    with pytest.raises(ResourceError, match="is no saved data set"):
        suite.task(told, "svhn").samples(2, 0)
