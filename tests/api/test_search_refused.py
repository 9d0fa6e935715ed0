"""What a search refuses, before or at once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib import import_module

import numpy as np
import pytest
import torch
import yaml
from search_case import find

from mergecast.errors import ResourceError, UsageError
from mergecast.runtime.lock import folder_lock
from mergecast.tasks.task import Samples
from mergecast.testing.tiny import tiny_family, tiny_tasks
from tiny_models import write_tiny_tasks

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


def leaking(labels, count, seen=40):
    """Tasks of which so many test samples are among their other samples."""
    tasks = tiny_tasks(labels)
    for task in tasks.values():
        task.samples = partial(_samples, task.samples, count, seen)
        task.size = lambda split: 40
    return tasks


def _samples(drawn, shared, seen, count, seed, split="calibration"):
    whole = drawn(seen, 0, "calibration")
    if split == "test":
        other = drawn(40 - shared, 0, "test")
        inputs = {"x": torch.cat([whole.inputs["x"][:shared], other.inputs["x"]])}
        labels = torch.cat([whole.labels[:shared], other.labels])
        whole = Samples(inputs, labels, tuple(map(str, range(40))))
    return next(whole.batches(count or 40))


def test_test_samples_that_may_be_looked_at_do_not_verify(family):
    found = find(family, tasks=leaking("abc", 15), budget=3)
    assert {(one["shared"], one["held"]) for one in found.samples.values()} == {(15, 25)}
    assert found.verified.samples == 25
    [said] = [one for one in found.warnings if one.startswith("a: ")]
    assert said == (
        "a: 15 of 40 test samples are also among those that the search may look at, with the same "
        "content: left out, so that 25 verify"
    )
    clean = find(family, tasks=leaking("abc", 0), budget=3)
    assert {(one["shared"], one["held"]) for one in clean.samples.values()} == {(0, 40)}
    assert not [one for one in clean.warnings if "may look at" in one]


def test_too_few_untouched_samples_are_said_before_anything_is_run(family, monkeypatch):
    monkeypatch.setattr("mergecast.api.search.gathered_forecast", never)
    said = r"task 'a': 21 of 40 test samples are also, .*: 19 are left to verify on, 20 are needed"
    with pytest.raises(UsageError, match=said):
        find(family, tasks=leaking("abc", 21))
    # A scorer looks at no sample.
    with pytest.raises(AssertionError, match="evidence was gathered"):
        find(family, tasks=leaking("abc", 21), scorer=lambda path, task: 1.0)


def test_copies_among_a_tasks_only_samples_are_not_held_back(family):
    tasks = tiny_tasks("abc")
    for task in tasks.values():
        task.samples = partial(_twice, task.samples)
        task.size = partial(_size, task.name)
    found = find(family, tasks=tasks, budget=3)
    for one in found.samples.values():
        assert (one["held_from"], one["looked"]) == ("data", 80)
        assert one["held"] + one["shared"] == 40
        assert 0 < one["shared"] <= 10
    assert any("samples that were held back" in one for one in found.warnings)


def _size(name, split):
    if split == "test":
        raise UsageError(f"task {name!r}, split 'test'", "there is none", "give it")
    return 120


def _twice(drawn, count, seed, split="calibration"):
    """A hundred and ten samples, ten of them twice."""
    whole = drawn(110, 0)
    rows = torch.from_numpy(np.random.default_rng(1).permutation(120))[: count or 120] % 110
    return Samples({"x": whole.inputs["x"][rows]}, whole.labels[rows], tuple(map(str, rows)))


def test_one_file_as_data_and_test_is_refused_by_name_before_anything_is_run(
    family, tmp_path, monkeypatch
):
    monkeypatch.setattr("mergecast.api.search.gathered_forecast", never)
    content = yaml.safe_load(write_tiny_tasks(tmp_path, "abc").read_text())
    content["tasks"]["b"]["test"] = content["tasks"]["b"]["data"]
    (tmp_path / "tasks.yaml").write_text(yaml.safe_dump(content))
    said = r"task 'b': its `data:` and `test:` are the same: .*; name a file of other samples in"
    with pytest.raises(UsageError, match=said):
        find(family, tasks=tmp_path / "tasks.yaml")
    del content["tasks"]["b"]["test"]  # the remedy
    content["tasks"]["b"]["data"]["args"]["count"] = 60
    (tmp_path / "tasks.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.undo()
    assert find(family, tasks=tmp_path / "tasks.yaml", budget=2).samples["b"]["held"] == 20


def never(*args, **given):
    raise AssertionError("evidence was gathered")
