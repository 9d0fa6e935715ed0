"""What a task's answers and scores hang on, beside weights and samples, is a part of every key."""

from __future__ import annotations

import json

import pytest
from task_files import GOOD, write

from mergecast.tasks.load import load_tasks
from mergecast.tasks.models import config_digest, source_digest
from mergecast.testing.tiny import TinyTask, tiny_tasks

BUILD = """\
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        {note}return x.{function}()


def build():
    return Net()
"""


class Likely(TinyTask):
    @property
    def score_name(self):
        return "likelihood"


class Halved(TinyTask):
    def score(self, logits, labels):
        return super().score(logits, labels) / 2


def test_a_task_of_mergecasts_own_scored_by_accuracy_adds_nothing():
    assert tiny_tasks("a")["a"].definition == {}


def test_a_score_and_the_code_of_a_class_from_elsewhere_count():
    likely, halved = Likely("a").definition, Halved("a").definition
    assert likely["score"] == "likelihood"
    assert "score" not in halved
    assert likely["code"] != halved["code"]


@pytest.mark.parametrize("field", ["score: likelihood", "loss: next_token"])
def test_fields_of_a_file_that_change_scores_count(tmp_path, field):
    before, after = (
        load_tasks(write(tmp_path, text))["a"].definition
        for text in (GOOD, GOOD.replace("  a:\n", f"  a:\n    {field}\n"))
    )
    assert before != after


def test_what_a_users_function_builds_counts_by_all_of_its_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    texts = {"one": ("relu", ""), "said": ("relu", "# why\n        "), "two": ("tanh", "")}
    for name, (function, note) in texts.items():
        text = BUILD.format(function=function, note=note)
        (tmp_path / f"definition_{name}.py").write_text(text, encoding="utf-8")
    one, said, two = (source_digest(f"definition_{name}:build") for name in texts)
    assert one == said != two


def test_a_config_counts_but_for_what_changes_no_model(tmp_path):
    def digest(**changed):
        config = {"hidden_act": "gelu", "transformers_version": "5.0", **changed}
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return config_digest(tmp_path)

    assert digest() == digest(transformers_version="5.1") != digest(hidden_act="relu")
