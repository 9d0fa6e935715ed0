"""From folders of models to a file of tasks: drafted, filled in, tried."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
import torch
import yaml

from mergecast.cli.main import run
from mergecast.tasks.load import load_tasks

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
peft = pytest.importorskip("peft", reason="needs the hf extra")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 40,
    "max_position_embeddings": 40,
}
NAMES = ["sport", "politics", "yes: no #1"]


def tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", *(f"w{i}" for i in range(30))]
    built = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=built, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder)


def moved(folder, cls, seed, **options):
    """A fine-tune of the base in `folder`: every parameter moves a little."""
    generator = torch.Generator().manual_seed(seed)
    model = getattr(transformers, cls).from_pretrained(folder, **options)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.003 * torch.randn(value.shape, generator=generator))
    return model


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A bare BERT, a topic classifier, a regression, an adapter and a question answerer."""
    folder = tmp_path_factory.mktemp("zoo")
    base = folder / "base"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(transformers.BertConfig(**SIZES)).save_pretrained(base)
        tokenizer(base)
        tuned = "BertForSequenceClassification"
        topics = moved(base, tuned, 1, id2label=dict(enumerate(NAMES)))
        topics.save_pretrained(folder / "topics")
        moved(base, tuned, 2, num_labels=1).save_pretrained(folder / "rating")
        moved(base, "BertForQuestionAnswering", 3).save_pretrained(folder / "answers")
        config = peft.LoraConfig(r=2, target_modules=["query"], task_type="SEQ_CLS")
        peft.get_peft_model(moved(base, tuned, 4, num_labels=4), config).save_pretrained(
            folder / "lora"
        )
    return folder


def draft(zoo, out, *labels, more=()):
    paths = [str(zoo / label) for label in ("base", *labels)]
    return run(["tasks", "init", *paths, "-o", str(out), *more])


def test_a_file_is_drafted_from_the_folders(zoo, tmp_path, capsys):
    out = tmp_path / "tasks.yaml"
    assert draft(zoo, out, "topics", "rating", "lora") == 0
    printed = capsys.readouterr().out
    text = out.read_text("utf-8")
    content = yaml.safe_load(text)
    assert content["defaults"]["model"] == {"auto": "AutoModelForSequenceClassification"}
    assert content["defaults"]["data"] == {"text": "TODO", "labels": "TODO"}
    tasks = content["tasks"]
    assert tasks["topics"]["model"] == {"folder": str(zoo / "topics")}
    assert tasks["lora"]["model"] == {"folder": str(zoo / "base")}
    assert tasks["lora"]["private"] == ["classifier.*"]
    assert "private" not in tasks["topics"]  # the base has no head: structure tells it
    assert "3 classes: 0 sport, 1 politics, 2 yes: no #1" in text
    assert "LoRA adapter, AutoModelForSequenceClassification, 4 classes without names" in text
    assert "labels: numbers" in text
    assert "3 tasks → " in printed
    assert printed.count("to fill in: line ") == text.count("TODO") - 1  # one is in the heading


def test_tokenizers_of_their_own_and_of_the_base_are_named(zoo, tmp_path):
    out = tmp_path / "tasks.yaml"
    assert draft(zoo, out, "topics", "lora") == 0
    tasks = yaml.safe_load(out.read_text("utf-8"))["tasks"]
    assert tasks["topics"]["data"]["tokenizer"] == str(zoo / "base")  # its folder holds none
    assert "tokenizer" not in tasks["lora"]["data"]  # built from the base's folder anyway


def test_what_cannot_be_scored_is_left_to_a_function(zoo, tmp_path):
    out = tmp_path / "tasks.yaml"
    assert draft(zoo, out, "answers", "topics") == 0
    text = out.read_text("utf-8")
    assert yaml.safe_load(text)["tasks"]["answers"]["model"] == {"build": "TODO"}
    assert "AutoModelForQuestionAnswering gives no logits that a task file can score" in text


def test_a_draft_is_refused_until_it_is_filled_in(zoo, tmp_path, capsys):
    out = tmp_path / "tasks.yaml"
    draft(zoo, out, "topics", "lora")
    paths = [str(zoo / label) for label in ("base", "topics", "lora")]
    capsys.readouterr()
    assert run(["forecast", *paths, "--tasks", str(out)]) == 2
    error = capsys.readouterr().err
    assert "data.text: is still TODO (and 3 more); name the column of texts" in error
    assert error.count("\n") == 1
    out.write_text(out.read_text("utf-8").replace("TODO", "given"), "utf-8")
    assert sorted(load_tasks(out)) == ["lora", "topics"]


def test_a_file_is_replaced_only_where_that_is_asked_for(zoo, tmp_path, capsys):
    out = tmp_path / "tasks.yaml"
    out.write_text("of value", "utf-8")
    assert draft(zoo, out, "topics") == 2
    assert (
        "exists already; give another file, or replace it with --force" in capsys.readouterr().err
    )
    assert out.read_text("utf-8") == "of value"
    assert draft(zoo, out, "topics", more=["--force"]) == 0
    assert "topics" in yaml.safe_load(out.read_text("utf-8"))["tasks"]


def test_a_head_that_all_have_is_private_and_a_refused_model_is_said(zoo, tmp_path, capsys):
    other = tmp_path / "other"
    config = transformers.BertConfig(**{**SIZES, "hidden_size": 8})
    transformers.BertModel(config).save_pretrained(other)
    again = tmp_path / "again"
    moved(zoo / "topics", "BertForSequenceClassification", 5).save_pretrained(again)
    out = tmp_path / "tasks.yaml"
    paths = [str(zoo / "topics"), str(again), str(other)]
    assert run(["tasks", "init", *paths, "-o", str(out), "--json"]) == 3
    said = json.loads(capsys.readouterr().out)
    assert list(said["refused"]) == ["other"]
    assert said["labels"] == ["again"]
    assert yaml.safe_load(out.read_text("utf-8"))["tasks"]["again"]["private"] == ["classifier.*"]
    assert "take private out to merge it as well" in out.read_text("utf-8")


@pytest.fixture
def filled(zoo, tmp_path):
    """A drafted file, filled in, with the samples it names; a function to change either."""
    out = tmp_path / "tasks.yaml"
    draft(zoo, out, "topics", "rating", "lora")

    def write(label, rows, **fields):
        """Samples of a task; fields of its data that are otherwise."""
        pd.DataFrame(rows).to_parquet(tmp_path / f"{label}.parquet")
        content = yaml.safe_load(out.read_text("utf-8"))
        content["defaults"]["data"].update({"text": "text", "labels": "label"})
        content["tasks"][label]["data"].update({"file": f"{label}.parquet", **fields})
        out.write_text(yaml.safe_dump(content), "utf-8")
        return out

    for label in ("topics", "rating", "lora"):
        write(label, {"text": TEXTS, "label": [0, 1, 2, 1]})
    return write


TEXTS = ["w1 w2 w3", "w4", "", "w5 w6 w7 w8 w9"]


def checked(capsys, *arguments):
    """Exit code and answer of ``tasks check --json``; the answer's tasks by label."""
    capsys.readouterr()
    code = run(["tasks", "check", *map(str, arguments), "--json"])
    answer = json.loads(capsys.readouterr().out)
    return code, answer, {trial["label"]: trial for trial in answer["tasks"]}


def paths(zoo, *labels):
    return [zoo / label for label in ("base", *labels)]


def test_some_samples_of_each_task_are_tried_with_its_model(zoo, filled, capsys):
    out = filled("topics", {"text": TEXTS, "label": [0, 1, 2, 1]}, max_length=4)
    code, answer, trials = checked(capsys, out, *paths(zoo, "topics", "rating", "lora"))
    assert (code, answer["ran_models"], answer["refused"]) == (0, True, {})
    topics = trials["topics"]
    assert (topics["kind"], topics["sizes"]) == ("classification", {"calibration": 4})
    assert (topics["classes"], topics["labels"]) == (3, {"0": 1, "1": 2, "2": 1})
    assert (topics["empty"], topics["cut"]) == (1, 1)
    assert topics["score"] in (0, 0.25, 0.5, 0.75, 1)
    assert topics["seconds"] > 0
    assert topics["warnings"] == ["1 of 4 texts are empty"]  # too few to doubt the model
    assert (trials["rating"]["kind"], trials["rating"]["score"]) == ("regression", None)
    assert trials["lora"]["classes"] == 4


def test_a_model_whose_head_is_random_is_named(zoo, filled, capsys):
    out = filled("topics", {"text": TEXTS * 5, "label": [0, 1, 2, 1] * 5})
    _, _, trials = checked(capsys, out, *paths(zoo, "topics", "rating", "lora"))
    assert "no better than the commonest class" in trials["topics"]["warnings"][-1]


def test_without_models_the_architectures_are_tried(filled, capsys):
    out = filled("lora", {"text": TEXTS, "label": [0, 1, 2, 3]})
    code, answer, trials = checked(capsys, out)
    assert (code, answer["ran_models"], answer["usable"]) == (
        0,
        False,
        ["lora", "rating", "topics"],
    )
    assert trials["topics"]["score"] is None
    assert trials["lora"]["classes"] is None  # of a private head only the model knows the size


@pytest.mark.parametrize(
    ("rows", "fields", "problem"),
    [
        ({"text": TEXTS, "label": [0, 1, 3, 1]}, {}, "label 3 is outside its head of 3 classes"),
        ({"text": TEXTS, "y": [0] * 4}, {}, "column 'label': unknown; .*known: text, y"),
        (
            {"text": TEXTS, "label": list("abab")},
            {},
            "holds 'a', 'b', no numbers and no classes of the model's config: sport, politics",
        ),
        (
            {"text": TEXTS, "label": ["Sport", "politics ", "sport", "sport"]},
            {},
            "spell them as the config does: 'sport', not 'Sport', 'politics', not 'politics '",
        ),
        ({"text": [1, 2, 3, 4], "label": [0] * 4}, {}, "does not hold text but [1-4]"),
        ({"text": TEXTS, "label": [0] * 4}, {"file": "no.parquet"}, "no.parquet: does not exist"),
    ],
)
def test_what_does_not_go_together_is_named(zoo, filled, capsys, rows, fields, problem):
    out = filled("topics", rows, **fields)
    code, answer, trials = checked(capsys, out, *paths(zoo, "topics", "lora"))
    assert code == 3
    assert re.search(problem, answer["refused"]["topics"])
    assert trials["topics"]["problem"] == answer["refused"]["topics"]
    assert answer["usable"] == ["lora"]


def test_names_of_classes_are_numbered_as_the_model_does(zoo, filled, capsys):
    named = [NAMES[number] for number in (0, 1, 2, 1)]
    out = filled("topics", {"text": TEXTS, "label": named})
    code, _, trials = checked(capsys, out, *paths(zoo, "topics"))
    assert (code, trials["topics"]["labels"]) == (0, {"0": 1, "1": 2, "2": 1})


def test_the_base_among_the_models_is_left_out_and_said(zoo, tmp_path, capsys):
    out = tmp_path / "tasks.yaml"
    assert draft(zoo, out, "base", "topics") == 3
    assert list(yaml.safe_load(out.read_text("utf-8"))["tasks"]) == ["topics"]
    assert "is the base itself; leave it out" in capsys.readouterr().err
    assert draft(zoo, tmp_path / "none.yaml", "base") == 4
    assert "none but the base; give the models" in capsys.readouterr().err


def test_labels_of_rows_beyond_the_batch_are_checked_too(filled, capsys):
    out = filled("topics", {"text": ["w1"] * 60, "label": [0] * 59 + [7]})
    _, answer, _ = checked(capsys, out, "--batch-size", 2)
    assert "label 7 is outside its head of 3 classes" in answer["refused"]["topics"]


def test_classes_that_the_samples_call_otherwise_are_said(filled, tmp_path, capsys):
    datasets = pytest.importorskip("datasets", reason="needs the hf extra")
    names = [NAMES[1], NAMES[0], NAMES[2]]
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)}
    )
    data = datasets.Dataset.from_dict({"text": TEXTS, "label": [0, 1, 2, 1]}, features=features)
    said = "calibration samples call class 0 'politics', the model 'sport': 2 classes differ in an"
    for name in ("saved", "topics.parquet"):
        out = filled("topics", {"text": TEXTS, "label": [0, 1, 2, 1]}, file=name)
        if name == "saved":
            data.save_to_disk(tmp_path / name)
        else:
            data.to_parquet(tmp_path / name)
        _, _, trials = checked(capsys, out)
        assert said in trials["topics"]["warnings"][-1]


def test_a_model_with_one_answer_for_all_is_named_without_labels(zoo, filled, tmp_path, capsys):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(zoo / "topics")
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([0.0, 9.0, 0.0]))
    model.save_pretrained(tmp_path / "topics")
    out = filled("topics", {"text": TEXTS * 2}, labels=None)
    _, _, trials = checked(capsys, out, zoo / "base", tmp_path / "topics")
    assert trials["topics"]["warnings"][-1] == "the model answers all 8 samples with class 1"


def test_a_test_split_without_labels_is_said(filled, tmp_path, capsys):
    out = filled("topics", {"text": TEXTS, "label": [0, 1, 2, 1]})
    content = yaml.safe_load(out.read_text("utf-8"))
    content["tasks"]["topics"]["test"] = {"labels": None}
    out.write_text(yaml.safe_dump(content), "utf-8")
    _, _, trials = checked(capsys, out)
    assert trials["topics"]["sizes"] == {"calibration": 4, "test": 4}
    assert trials["topics"]["warnings"][-1].startswith("its test samples have no labels")


def test_no_task_that_can_be_used_exits_with_4_and_says_why(zoo, filled, capsys):
    out = filled("topics", {"text": TEXTS, "label": [0, 1, 9, 1]})
    assert run(["tasks", "check", str(out), *map(str, paths(zoo, "topics"))]) == 4
    printed = capsys.readouterr().out
    assert "REFUSED" in printed
    assert "error: topics: task 'topics': label 9 is outside its head of 3 classes" in printed
