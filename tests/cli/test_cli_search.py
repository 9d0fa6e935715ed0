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


def test_weighted_is_for_search_alone(asked, capsys):
    words = ["merge", *asked[:3], "--method", "ties", "--scaling", "auto", "--tasks", asked[4]]
    assert run([*words, "--objective", "weighted", "-o", "out"]) == 2
    assert "is for search" in capsys.readouterr().err
