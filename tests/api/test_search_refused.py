"""What a search refuses, before or at once."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import pytest
from search_case import find

from mergecast.errors import ResourceError, UsageError
from mergecast.runtime.lock import folder_lock
from mergecast.testing.tiny import tiny_family

search_module = import_module("mergecast.api.search")


@pytest.fixture
def family(tmp_path):
    return tiny_family(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": "soon"}, "budget: is 'soon'"),
        ({"budget": 1}, "is 1 measurements"),
        ({"size": 9}, "size: is 9"),
        ({"size": "4..2"}, "size: is '4..2'"),
        ({"size": "few"}, "size: is 'few'"),
        ({"keep": "z"}, "model 'z'"),
        ({"require": {"z": 0.9}}, "requirement of model"),
        ({"require": {"a": 95}}, "requirement of 'a'"),
        ({"objective": "most"}, "objective most: needs what every model must keep"),
        ({"objective": "least"}, "objective 'least'"),
        ({"objective": "weighted"}, "needs importance"),
        ({"keep": ("a", "b", "c"), "size": 2}, "size of merges"),
        ({"confidence": 1.0}, "epsilon and confidence"),
        ({"methods": "tiez"}, "tiez"),
        ({"tasks": None}, "tasks"),
    ],
)
def test_what_makes_no_sense_is_said(family, options, said):
    with pytest.raises(UsageError, match=said):
        find(family, **options)


@pytest.mark.parametrize("options", [{"keep": "z"}, {"require": {"z": 0.9}}, {"size": 9}])
def test_names_and_sizes_are_checked_before_anything_is_run(family, options, monkeypatch):
    monkeypatch.setattr("mergecast.api.search.gathered_forecast", never)
    with pytest.raises(UsageError):
        find(family, **options)


def test_time_that_does_not_reach_for_the_forecasts(family, tmp_path, merges):
    with pytest.raises(UsageError, match="the forecasts of 3 models by 3 methods alone take"):
        find(family, budget="0.001s", cache=tmp_path / "work")
    assert not (tmp_path / "work").exists()
    # What a cache holds costs nothing, so that nobody knows before.
    find(family, budget=2, cache=tmp_path / "work")
    count = len(merges)
    with pytest.raises(ResourceError, match="the forecasts alone took"):
        find(family, budget="0.001s", cache=tmp_path / "work")
    assert len(merges) == count


def test_a_folder_that_may_not_be_written_is_said_before_anything_is_run(
    family, tmp_path, monkeypatch
):
    monkeypatch.setattr("mergecast.api.search.gathered_forecast", never)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="was not written by mergecast"):
        find(family, out=tmp_path / "theirs")


def test_two_searches_do_not_share_a_cache(family, tmp_path):
    with folder_lock(tmp_path / "work"), pytest.raises(ResourceError, match="another process"):
        find(family, cache=tmp_path / "work")
    find(family, cache=tmp_path / "work")


def test_models_of_which_too_few_can_be_used_are_named(family, monkeypatch):
    doubtful = {"b": "hardly answers", "c": "hardly answers"}
    made = search_module.gathered_forecast
    monkeypatch.setattr(
        search_module,
        "gathered_forecast",
        lambda *given, **more: replace(made(*given, **more), doubtful=doubtful),
    )
    for size in (None, "any"):
        with pytest.raises(UsageError, match="models: 1 can be merged: b: hardly answers; c: "):
            find(family, size=size, methods="weight_avg")


def never(*args, **given):
    raise AssertionError("evidence was gathered")
