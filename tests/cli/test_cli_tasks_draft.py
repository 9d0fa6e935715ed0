"""From folders of models to a file of tasks: drafted."""

from __future__ import annotations

import json

import pytest
import yaml
from tasks_zoo import SIZES, draft, made_zoo, moved, transformers

from mergecast.cli.main import run
from mergecast.tasks.load import load_tasks

pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return made_zoo(tmp_path_factory.mktemp("zoo"))


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


def test_the_base_among_the_models_is_left_out_and_said(zoo, tmp_path, capsys):
    out = tmp_path / "tasks.yaml"
    assert draft(zoo, out, "base", "topics") == 3
    assert list(yaml.safe_load(out.read_text("utf-8"))["tasks"]) == ["topics"]
    assert "is the base itself; leave it out" in capsys.readouterr().err
    assert draft(zoo, tmp_path / "none.yaml", "base") == 4
    assert "none but the base; give the models" in capsys.readouterr().err
