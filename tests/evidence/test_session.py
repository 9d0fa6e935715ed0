"""How many samples a session takes of a task where nobody says."""

from __future__ import annotations

import pytest

from mergecast.errors import UsageError
from mergecast.evidence.session import Session
from mergecast.evidence.settings import ProbeSettings
from mergecast.tasks.task import draw
from mergecast.testing.tiny import TinyTask, tiny_family


class Bounded(TinyTask):
    """A task that has so many samples and no more."""

    available = 0

    def size(self, split):
        return self.available

    def samples(self, count, seed, split="calibration"):
        draw(self.available, count, seed, self.name, split)
        return super().samples(count, seed, split)


def session(folder, available, calibration=None):
    tasks = {label: Bounded(label, private=("head.*",)) for label in "ab"}
    for task in tasks.values():
        task.available = available
    return Session(tiny_family(folder, "ab"), tasks, ProbeSettings(calibration))


@pytest.mark.parametrize(("available", "taken"), [(500, 100), (100, 100), (40, 40), (10, 10)])
def test_a_hundred_are_taken_or_all_that_there_are(available, taken, tmp_path):
    assert len(session(tmp_path, available).samples("a")) == taken


def test_a_handful_is_taken_only_where_it_is_asked_for(tmp_path):
    with pytest.raises(UsageError) as caught:
        session(tmp_path, 8).samples("a")
    assert str(caught.value) == (
        "task 'a': has 8 calibration samples, and 10 are the least that is taken unasked; give it "
        "10, or take all of 8 and as many of every task (--calibration 8)"
    )
    with pytest.raises(UsageError, match="has 0 calibration samples, .* unasked; give it 10$"):
        session(tmp_path, 0).samples("a")
    assert len(session(tmp_path, 8, calibration=8).samples("a")) == 8


def test_more_than_there_are_is_refused_where_it_is_asked_for(tmp_path):
    with pytest.raises(UsageError, match="asked for 50 calibration samples of 40"):
        session(tmp_path, 40, calibration=50).samples("a")
