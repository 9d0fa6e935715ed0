"""`mc.search`: which samples it looks at, and what it says of tasks without labels."""

from __future__ import annotations

import re

import numpy as np
import pytest
from search_case import find

from mergecast.errors import UsageError
from mergecast.evidence import ProbeSettings, Session
from mergecast.search import samples
from mergecast.search.samples import parts_of
from mergecast.search.shown import search_parts
from mergecast.testing.tiny import tiny_family, tiny_tasks


@pytest.fixture
def family(tmp_path):
    return tiny_family(tmp_path)


def sized(**sizes):
    """Tiny tasks without test samples; of each so many samples."""
    tasks = tiny_tasks()
    for task in tasks.values():
        whole, size = task.samples, sizes.get(task.name, 64)

        def drawn(count, seed, split="calibration", whole=whole, name=task.name, size=size):
            if split == "test":
                raise UsageError(f"task {name!r}, split 'test'", "there is none", "give it")
            return whole(size, seed, split) if count is None else first(whole(size, seed), count)

        task.samples = drawn
    return tasks


def test_one_task_of_few_samples_takes_none_from_the_others(family):
    found = find(family, tasks=sized(a=60, b=300, c=600), size=3, budget=12, epsilon=0.0)
    assert {x: (one["looked"], one["held"]) for x, one in found.samples.items()} == {
        "a": (40, 20),
        "b": (200, 100),
        "c": (400, 200),
    }
    seen = found.tried["samples"].to_numpy()
    assert seen.max() > 40
    # Of the task with forty those alone, of the others as many as were asked for.
    assert found.cost["samples"] == sum(np.minimum(seen, most).sum() for most in (40, 200, 400))
    assert any("40 samples or more of a, b were there to choose by" in x for x in found.warnings)
    assert found.verified.samples == 20


def test_without_test_samples_a_third_is_held_back(family):
    tasks = sized()
    found = find(family, tasks=tasks)
    assert {(one["looked"], one["held"], one["held_from"]) for one in found.samples.values()} == {
        (43, 21, "data")
    }
    with pytest.raises(UsageError, match="of 'a', without test samples, 43 may be"):
        find(family, tasks=tasks, calibration=60)


def test_what_forecasts_were_made_from_is_looked_at_last(family):
    with Session(family, sized(a=90, b=90), ProbeSettings(24)) as session:
        ids = parts_of(session, "a").looked.ids
        assert len(set(ids)) == 60
        assert ids[-24:] == session.samples("a").ids
        assert not {*ids[:-24]} & {*session.samples("a").ids}


def test_where_a_task_has_no_others_they_are_looked_at(family):
    with Session(family, sized(a=60), ProbeSettings(40)) as session:
        assert parts_of(session, "a").looked.ids == session.samples("a").ids


def test_own_answers_are_asked_for_once(family, monkeypatch, tmp_path):
    asked = []
    answers = samples.own_answers
    monkeypatch.setattr(samples, "own_answers", lambda *a: asked.append(a) or answers(*a))
    for _ in range(2):
        settings = ProbeSettings(24, cache=tmp_path / "work")
        with Session(family, tiny_tasks(labelled=False), settings) as session:
            found = parts_of(session, "a")
            assert len(found.looked.labels) == len(found.looked)
    assert len(asked) == 2  # what is looked at, and what is held back


def first(samples, count):
    return next(iter(samples.batches(count)))


def test_unlabelled_tasks_are_asked_whether_answers_are_kept(family, tmp_path):
    found = find(family, tasks=tiny_tasks(labelled=False), out=tmp_path / "merged")
    assert not any(one["labelled"] for one in found.samples.values())
    assert 0 <= found.verified.value <= 1
    # And nothing that is said of it speaks of scores.
    assert "the mean of what the models keep of their own answers is" in found.verdict[0]
    assert "Without labels: the share of a model's own answers" in found.judged
    assert [row["of"] for row in found.to_dict()["kept"]] == ["answers"] * 2
    for text in (
        " ".join(map(str, search_parts(found.to_dict()))),
        found._repr_html_(),
        (tmp_path / "merged" / "README.md").read_text(),
        (tmp_path / "merged" / "search.html").read_text(),
    ):
        assert "own answers" in text
        assert not re.search("own scores?", text)


def test_a_task_without_labels_among_others_is_named(family):
    tasks = tiny_tasks() | {"b": tiny_tasks("b", labelled=False)["b"]}
    found = find(family, tasks=tasks, keep=("a", "b"), objective="worst")
    assert (
        "the least that a model keeps of its own score (b: of its own answers)"
        in (found.verdict[0])
    )
    assert "Of b, without labels, the share of its own answers" in found.judged
    assert [row["of"] for row in found.to_dict()["kept"]] == ["score", "answers"]
    found = find(family, tasks=tasks, keep=("a", "c"))
    assert "the models keep of their own scores is" in found.verdict[0]
