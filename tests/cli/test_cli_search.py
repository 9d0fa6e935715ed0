"""``mergecast search``: its words, its screen, its exit codes."""

from __future__ import annotations

import json

import pytest

from mergecast.cli.main import run
from mergecast.cli.search import parse_requirements
from mergecast.errors import UsageError
from mergecast.testing.tiny import tiny_family
from tiny_models import write_tiny_tasks


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Words of a search of a small family with tasks, run in its folder."""
    tiny_family(tmp_path, "ab")
    tasks = write_tiny_tasks(tmp_path, "ab")
    monkeypatch.chdir(tmp_path)
    return ["base.safetensors", "a.safetensors", "b.safetensors", "--tasks", str(tasks),
            "--method", "ties", "--method", "weight_avg", "--budget", "3",
            "--workers", "1"]  # fmt: skip


def test_requirements():
    given = ["a>=0.95, b >= .9", "*>=0.8"]
    assert parse_requirements(given) == {"a": 0.95, "b": 0.9, "*": 0.8}
    for wrong in ("a", "a>0.9", "a>=much", ">=0.9"):
        with pytest.raises(UsageError, match="--require"):
            parse_requirements([wrong])
    for twice in (["a>=0.95", "a>=0.5"], ["*>=0.9,*>=0.9"]):
        with pytest.raises(UsageError, match=r"--require [a*]: given twice; give each model one"):
            parse_requirements(twice)


def test_a_search_writes_the_merge_and_says_so(asked, capsys):
    assert run(["search", *asked, "-o", "merged"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Merge a, b by ")
    assert "What each model keeps of its own score" in shown
    assert "merged model: merged" in shown
    assert run(["search", *asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["advice"] == "merge"
    assert found["out"] is None


def test_a_requirement_that_is_missed_is_another_exit_code(asked, capsys):
    assert run(["search", *asked, "--require", "*>=1.4", "-o", "merged"]) == 4
    assert capsys.readouterr().out.startswith("Do not merge: no merge was found")


def test_a_merge_that_keeps_nothing_of_a_model_is_that_exit_code_too(asked, tmp_path, capsys):
    (tmp_path / "bad.sh").write_text("case $1 in */heads/b) echo -0.5;; *) echo 0.5;; esac\n")
    words = [*asked, "--scorer", "sh bad.sh {model}", "-o", "merged"]
    assert run(["search", *words]) == 4
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("Do not merge: the best merge that was found keeps nothing of b (-1.0")
    assert not (tmp_path / "merged").exists()


def test_what_keeps_too_little_is_said_in_the_first_lines(asked, tmp_path, capsys):
    (tmp_path / "poor.sh").write_text("case $1 in */heads/b) echo 0.3;; *) echo 0.5;; esac\n")
    words = [*asked, "--scorer", "sh poor.sh {model}"]
    assert run(["search", *words]) == 0
    shown = " ".join(capsys.readouterr().out.split("\n")[:6]).split()
    assert "b keeps 0.600, less than 90% of its own score: keep it apart" in " ".join(shown)
    assert run(["search", *words, "--require", "*>=0.9"]) == 4


@pytest.fixture
def scorers(tmp_path):
    """Options of two scripts: one finds every merge good, the other says 0.8 of the half."""
    (tmp_path / "dev.sh").write_text("echo 0.5\n")
    (tmp_path / "test.sh").write_text("case $1 in */heads/*) echo 0.4;; *) echo 0.5;; esac\n")
    return ["--scorer", "sh dev.sh {model} {task}", "--verify-scorer", "sh test.sh {model} {task}"]


def test_a_scorer_that_verifies(asked, scorers, capsys):
    assert run(["search", *asked, *scorers, "-o", "merged"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "by the verification scorer, which the search never asked, the mean" in shown
    assert "is 0.800" in shown
    assert "there is no interval" in shown
    assert "Verification scorer: sh test.sh {model} {task}" in shown
    assert run(["search", *asked, *scorers, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verified"] == {"value": 0.8, "scorer": "sh test.sh {model} {task}"}
    assert run(["search", *asked, *scorers, "--require", "*>=0.9", "-o", "merged2"]) == 4
    assert capsys.readouterr().out.startswith("Do not merge: no merge was found")
    assert run(["search", *asked, *scorers[:2]]) == 0
    assert "may be too good" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--verify-scorer", "sh x.sh {model}"], "verify_scorer: given without a scorer"),
        (
            ["--scorer", "sh dev.sh {model}", "--verify-scorer", "sh dev.sh {model}"],
            "verify_scorer: is the scorer itself",
        ),
        (
            ["--scorer", "sh dev.sh {model}", "--verify-scorer", "no-such-program {model}"],
            "verification scorer: cannot be run",
        ),
        (
            ["--scorer", "sh dev.sh {model}", "--verify-scorer", "sh no-such-script {model}"],
            "verification scorer on 'a': ended with",
        ),
    ],
)
def test_a_scorer_that_cannot_verify(asked, scorers, options, said, capsys):
    assert run(["search", *asked, *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_weighted_is_for_search_alone(asked, capsys):
    words = ["merge", *asked[:3], "--method", "ties", "--scaling", "auto", "--tasks", asked[4]]
    assert run([*words, "--objective", "weighted", "-o", "out"]) == 2
    assert "is for search" in capsys.readouterr().err
