"""Commands that score, how their scores are kept, and what members keep by them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence.session import Session
from mergecast.evidence.settings import ProbeSettings
from mergecast.merging import METHODS, Recipe
from mergecast.search.candidates import Candidate
from mergecast.search.objective import Objective
from mergecast.search.scorer import Command, Scoring
from mergecast.search.verify import scored
from mergecast.testing.tiny import tiny_family

MERGE = Candidate(("a", "b"), Recipe("weight_avg"), "weight_avg")


@pytest.fixture
def session(tmp_path):
    settings = ProbeSettings(cache=tmp_path / "work")
    with Session(tiny_family(tmp_path), None, settings) as found:
        yield found


@pytest.fixture
def script(tmp_path):
    """Prints what a file beside it holds."""
    path = tmp_path / "score.sh"
    path.write_text(f"echo scoring $1; cat {tmp_path / 'score'}\n")
    (tmp_path / "score").write_text("0.5\n")
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("./eval.sh {task}", "my scorer: './eval.sh {task}' names no model"),
        ("./eval.sh '{model}", "my scorer: .* cannot be read: No closing quotation"),
    ],
)
def test_a_command_that_cannot_be_one(text, said):
    with pytest.raises(UsageError, match=said):
        Command(text, "my scorer")


def test_commands_are_the_same_by_their_words():
    assert Command("eval '{model}'  x") == Command("eval {model} x", "other")
    assert len({Command("eval {model} x"), Command("eval  {model} x")}) == 1
    assert Command("eval {model} x") != Command("eval {model} y")
    assert Command("eval {model}") != "eval {model}"


def test_files_of_a_command_are_told_by_what_they_hold(script):
    command = Command(f"sh {script} {{model}} {'long' * 2000}")
    [before] = command.files.values()
    script.write_text("echo 1\n")
    [after] = command.files.values()
    assert before != after
    assert [*command.files] == [str(script)]


def test_scores_of_a_command_are_kept(session, script):
    command = Command(f"sh {script} {{model}}")
    scoring = Scoring(command)
    assert scoring.own(session, "a") == 0.5
    assert scoring.merged(session, MERGE) == {"a": 0.5, "b": 0.5}
    (script.parent / "score").write_text("0.75\n")
    assert scoring.own(session, "a") == 0.5
    assert scoring.merged(session, MERGE) == {"a": 0.5, "b": 0.5}
    script.write_text("echo 0.25\n")
    assert scoring.own(session, "a") == 0.5  # the same search: one script judges all of it
    again = Scoring(command)
    assert again.own(session, "a") == 0.25
    assert again.merged(session, MERGE)["b"] == 0.25


def test_another_private_part_is_another_merge(session, script):
    scoring = Scoring(Command(f"sh {script} {{model}}"))
    assert scoring.merged(session, MERGE)["a"] == 0.5
    (script.parent / "score").write_text("0.75\n")
    narrow = replace(session, family=session.family.without(["up.*"]))
    assert scoring.merged(narrow, MERGE)["a"] == 0.75
    assert scoring.merged(session, MERGE)["a"] == 0.5


def test_another_kernel_of_a_method_is_another_merge(session, script, monkeypatch):
    scoring = Scoring(Command(f"sh {script} {{model}}"))
    assert scoring.merged(session, MERGE) == {"a": 0.5, "b": 0.5}
    (script.parent / "score").write_text("0.7\n")
    assert scoring.merged(session, MERGE) == {"a": 0.5, "b": 0.5}
    method = METHODS.get("weight_avg")
    other = replace(method.stage, version=method.stage.version + 1)
    monkeypatch.setattr(type(method), "stage", other)
    assert scoring.merged(session, MERGE) == {"a": 0.7, "b": 0.7}


def test_a_score_of_nothing_is_not_kept(session, script):
    scoring = Scoring(Command(f"sh {script} {{model}}"))
    for wrong in ("0", "-1"):
        (script.parent / "score").write_text(wrong)
        with pytest.raises(UndefinedError, match=r"model 'a': the scorer gives it -?\d.0"):
            scoring.own(session, "a")
    (script.parent / "score").write_text("0.5")
    assert scoring.own(session, "a") == 0.5


def test_a_function_is_asked_once_of_a_model_and_of_every_merge(session):
    asked = []

    def score(path, label):
        asked.append(label)
        return 1

    scoring = Scoring(score)
    assert [scoring.own(session, "a") for _ in range(2)] == [1.0, 1.0]
    for _ in range(2):
        assert scoring.merged(session, MERGE) == {"a": 1.0, "b": 1.0}
    assert asked == ["a", "a", "b", "a", "b"]
    assert scoring.text.endswith("score")


@pytest.mark.parametrize("score", [np.float32(0.5), np.float64(0.5), np.int64(1), Fraction(1, 2)])
def test_numbers_of_any_type_are_scores(session, score):
    found = Scoring(lambda *_: score).own(session, "a")
    assert found == score
    assert type(found) is float


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (True, "gave True, of type bool; let it give a finite number, as a float"),
        (np.float32("nan"), "gave .*nan.*, of type float32; "),
        ("0.5", "gave '0.5', of type str; "),
        (None, "gave None, of type NoneType; "),
    ],
)
def test_what_is_no_number_is_no_score(session, score, said):
    with pytest.raises(UsageError, match=f"scorer on 'a': {said}"):
        Scoring(lambda *_: score).own(session, "a")


@pytest.mark.parametrize(("kind", "value"), [("mean", 0.875), ("worst", 0.75)])
def test_what_members_keep_by_scores(kind, value):
    found = scored({"a": 0.5, "b": 40.0}, {"b": 30.0, "a": 0.5}, Objective(kind), "eval {model}")
    assert found.members == ("a", "b")
    np.testing.assert_allclose(found.kept, [1.0, 0.75])
    np.testing.assert_allclose(found.merged / found.own, found.kept)
    assert found.value == value
    assert found.by == "eval {model}"
