"""A filled-in file of tasks, tried: what fits its models, and what does not."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
import torch
import yaml
from tasks_zoo import NAMES, draft, made_zoo, transformers

from mergecast.cli.main import run

pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return made_zoo(tmp_path_factory.mktemp("zoo"))


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


def test_texts_that_are_cut_are_warned_of_where_nobody_said_how_long_they_are(filled, capsys):
    """Who says how many tokens are kept, as many as a model was trained on, meant it."""
    rows = {"text": ["w1 w2 " * 100] * 4, "label": [0, 1, 2, 1]}
    out = filled("topics", rows)
    content = yaml.safe_load(out.read_text("utf-8"))
    said = {}
    for length in (None, 8):
        if length:
            content["tasks"]["topics"]["data"]["max_length"] = length
        out.write_text(yaml.safe_dump(content), "utf-8")
        _, _, trials = checked(capsys, out)
        said[length] = [text for text in trials["topics"]["warnings"] if "tokens" in text]
    assert said[8] == []
    [warned] = said[None]
    assert "4 of 4 texts have more than 128 tokens" in warned
    assert "set data.max_length to what the models were trained with" in warned


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
    assert trials["topics"]["warnings"][-1].startswith(
        "the model answers all 8 samples with class 1; check its file"
    )


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
