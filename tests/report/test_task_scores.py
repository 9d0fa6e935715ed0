"""What models score before merging, and how much of it their base has."""

from __future__ import annotations

import math

import pandas as pd
import pytest

import mergecast as mc
from mergecast.report.task_scores import floor_sentences, task_rows
from mergecast.testing.tiny import tiny_family, tiny_tasks

NAMES = ["task", "single_score", "base_score", "majority", "n_eval"]


def frame(*rows):
    return pd.DataFrame([(*row, 40) for row in rows], columns=NAMES)


def test_the_least_and_the_most_that_is_had_without_a_merge_are_named():
    table = frame(("a", 0.8, 0.4, 0.3), ("b", 0.5, 0.45, 0.3), ("c", 1.0, 0.7, 0.3))
    [said] = floor_sentences(table, 0.9)
    assert "has 0.50 (a) to 0.90 (b) of their scores" in said


def test_where_one_class_is_nearly_all_a_model_is_named():
    """Nine tenths kept of it are what a merge keeps that always gives that class."""
    table = frame(("a", 0.8, 0.4, 0.3), ("pos", 0.79, 0.13, 0.7175))
    span, warned = floor_sentences(table, 0.9)
    assert "has 0.50 (a) to 0.91 (pos) of their scores" in span
    assert "(pos 0.91)" in warned
    assert len(list(floor_sentences(table, 0.95))) == 1


def test_a_score_of_zero_has_no_share_and_an_unknown_base_that_of_the_commonest_class():
    assert list(floor_sentences(frame(("a", 0.0, 0.0, 0.3)), 0.9)) == []
    assert list(floor_sentences(frame(("a", 0.5, math.nan, math.nan)), 0.9)) == []
    [said] = floor_sentences(frame(("a", 0.0, 0.0, 0.3), ("b", 0.5, math.nan, 0.3)), 0.9)
    assert "has 0.60 (b) of their scores" in said
    [said] = floor_sentences(frame(("b", 0.5, 0.25, math.nan)), 0.9)
    assert "commonest" not in said
    assert list(floor_sentences(None, 0.9)) == []


def test_the_gain_is_above_the_better_of_base_and_commonest_class():
    first, second = task_rows(frame(("a", 0.8, 0.4, 0.5), ("b", 0.8, math.nan, math.nan)))
    assert first["gain"] == pytest.approx(0.3)
    assert second["gain"] is None
    assert task_rows(None) == []


def test_a_forecast_says_what_the_base_has(tmp_path):
    given = {"forecaster": "suites", "methods": ["ties"], "calibration": 40}
    family = tiny_family(tmp_path, "abc")
    found = mc.forecast(family, tasks=tiny_tasks("abc"), **given)
    table = found.task_scores
    assert list(table.columns) == NAMES
    assert list(table["task"]) == ["a", "b", "c"]
    assert (table["n_eval"] == 40).all()
    assert (table["single_score"] > table["base_score"]).any()
    summary = mc.report(found, tmp_path / "page.html")
    assert sum("gained by merging" in one for one in summary["verdict"]) == 1
    assert [row["task"] for row in summary["tasks"]] == ["a", "b", "c"]
    assert 'id="tasks"' in (tmp_path / "page.html").read_text("utf-8")


def test_a_forecast_from_weights_alone_says_nothing_of_it(tmp_path):
    found = mc.forecast(tiny_family(tmp_path, "ab"), forecaster="suites", tier="weights")
    assert found.task_scores is None
    summary = mc.report(found, tmp_path / "page.html")
    assert not any("gained by merging" in one for one in summary["verdict"])
    assert 'id="tasks"' not in (tmp_path / "page.html").read_text("utf-8")
