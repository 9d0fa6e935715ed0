"""Scorers of people's own as the judge of a search."""

from __future__ import annotations

import pytest
from search_case import find

from mergecast.errors import UndefinedError, UsageError
from mergecast.forecast.recommend import THRESHOLD
from mergecast.testing.tiny import tiny_family, tiny_tasks


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


def test_a_model_that_keeps_too_little_is_named_in_the_headline(family):
    own = {"a": 0.5, "b": 0.8, "c": 1.0}

    def judge(path, label):
        return own[label] - (0.4 if label == "a" and "heads" in str(path) else 0.0)

    found = find(family, scorer=judge, budget=3, size=3)
    assert found.advice == "merge"
    assert found.verdict[1] == (
        "a keeps 0.200, less than 90% of its own score: keep it apart, or require more (--require "
        '"*>=0.9"), so that a search refuses such a merge.'
    )
    plain = found.to_dict()
    rows = {row["model"]: row["seen"] for row in plain["kept"]}
    assert rows == pytest.approx({"a": 0.2, "b": 1.0, "c": 1.0})
    assert (plain["threshold"], plain["below"], plain["lost"]) == (THRESHOLD, ["a"], {})
    refused = find(family, scorer=judge, budget=3, size=3, require={"*": THRESHOLD})
    assert refused.advice == "do not merge"
    assert "every model at least 0.9" in refused.verdict[0]
    # Who said how little is enough is not told that it is little.
    assert len(find(family, scorer=judge, budget=3, size=3, require={"*": 0.1}).verdict) == 1


@pytest.mark.parametrize("score", [0.0, -0.5])
def test_what_keeps_nothing_is_measured_and_not_advised(family, tmp_path, score):
    def judge(path, label):
        return score if "heads" in str(path) and label == "a" else 0.5

    found = find(
        family, scorer=judge, budget=3, size=3, methods="weight_avg", out=tmp_path / "merged"
    )
    assert found.tried["kept"].iloc[0]["a"] == score / 0.5
    assert found.advice == "do not merge"
    kept = f"nothing of a ({score / 0.5:.3f} of its own score)"
    assert found.verdict[0].startswith(
        f"Do not merge: the best merge that was found keeps {kept}. The best one, a, b, c by "
    )
    assert found.verdict[1].endswith(
        'or search for a merge that keeps more of a (--require "a>=0.9"), or without it.'
    )
    assert not (tmp_path / "merged").exists()
    assert found.to_dict()["lost"] == {"a": "nothing"}
    # The base's share of a scorer's number is not known.
    assert all(row["base"] is None for row in found.to_dict()["kept"])


@pytest.fixture
def four(tmp_path):
    return tiny_family(tmp_path, "abcd")


def even(path, label):
    return 0.5


def test_models_that_are_cheap_to_score_are_measured_rather(four):
    def looked(costs):
        options = {"size": 2, "budget": 4, "scorer_cost": costs, "tasks": tiny_tasks("abcd")}
        found = find(four, scorer=even, **options)
        measured = "+".join(found.path["members"][1:])  # the first is the best forecast
        return measured.count("a") + measured.count("b"), found.path["passes"].iloc[-1]

    cheap, _ = looked({"c": 1000.0, "d": 1000.0})
    dear, passes = looked({"a": 1000.0, "b": 1000.0})
    assert cheap > dear
    assert passes >= 1000 or dear == 0


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ({"a": 0}, "scorer_cost of 'a': is 0; give a number above 0"),
        ({"a": float("nan")}, "scorer_cost of 'a': is nan"),
        ({"a": "much"}, "scorer_cost of 'a': is 'much'"),
        ({"x": 2.0}, "model of scorer_cost 'x': unknown"),
    ],
)
def test_costs_that_are_none(family, costs, said):
    with pytest.raises(UsageError, match=said):
        find(family, scorer=even, scorer_cost=costs)


def test_costs_without_a_scorer(family):
    with pytest.raises(UsageError, match="scorer_cost: given without a scorer"):
        find(family, scorer_cost={"a": 2.0})
