"""Scorers of people's own as the judge of a search."""

from __future__ import annotations

import pytest
from search_case import find

from mergecast.errors import UndefinedError, UsageError
from mergecast.testing.tiny import tiny_family


@pytest.fixture
def family(tmp_path):
    return tiny_family(tmp_path)


def test_a_scorer_of_ones_own_is_the_judge(family):
    asked = []

    def scorer(path, label):
        asked.append(label)
        return 0.5 + 0.1 * ("heads" in str(path))

    found = find(family, scorer=scorer, budget=3)
    assert found.verified is None
    assert found.tried["measured"].iloc[0] == pytest.approx(1.2)
    assert "by the scorer" in found.verdict[0]
    assert set(asked) == {"a", "b", "c"}


def test_a_command_that_prints_a_number_is_a_scorer(family, tmp_path):
    script, asked = tmp_path / "score.sh", tmp_path / "asked"
    lines = f"echo looking at $2\necho $2 >> {asked}\nls -d $1 > /dev/null && echo 0.75\n"
    script.write_text(f"#!/bin/sh\n{lines}")
    command = f"sh {script} {{model}} {{task}}"
    found = find(family, scorer=command, budget=2, cache=tmp_path / "work")
    assert found.tried["measured"].tolist() == pytest.approx([1.0] * len(found.tried))
    before = asked.read_text()
    again = find(family, scorer=command, budget=2, cache=tmp_path / "work")
    assert again.chosen == found.chosen
    assert asked.read_text() == before
    # Another script is another scorer, whatever it is called.
    script.write_text(f"#!/bin/sh\n# put right\n{lines}")
    find(family, scorer=command, budget=2, cache=tmp_path / "work")
    assert asked.read_text().startswith(before)
    assert len(asked.read_text()) > len(before)


@pytest.mark.parametrize(
    ("scorer", "said"),
    [
        (lambda path, label: float("nan"), "gave nan"),
        (lambda path, label: "good", "gave 'good'"),
        (lambda path, label: 0.0, "the scorer gives it 0.0"),
        ("echo 3", "names no model"),
        ("echo {model}", "is no number"),
        ("false {model}", "ended with 1"),
        ("no-such-program {model}", "cannot be run"),
    ],
)
def test_scorers_that_fail_are_said_at_once(family, scorer, said):
    with pytest.raises((UsageError, UndefinedError), match=said):
        find(family, scorer=scorer)


def test_a_model_that_loses_most_of_its_score_is_named(family):
    own = {"a": 0.5, "b": 0.8, "c": 1.0}

    def judge(path, label):
        return own[label] - (0.4 if label == "a" and "heads" in str(path) else 0.0)

    found = find(family, scorer=judge, budget=3, size=3)
    said = [x for x in found.warnings if "of its own score in this merge" in x]
    assert said == [
        "a keeps 0.20 of its own score in this merge; ask for more by --require 'a>=0.5', or "
        "leave the model out"
    ]
    rows = {row["model"]: row["seen"] for row in found.to_dict()["kept"]}
    assert rows == pytest.approx({"a": 0.2, "b": 1.0, "c": 1.0})
