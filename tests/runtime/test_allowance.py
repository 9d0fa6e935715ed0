"""Time beside other work, by a clock that tests move."""

from __future__ import annotations

import pytest

from mergecast.errors import UsageError
from mergecast.runtime import allowance as module
from mergecast.runtime.allowance import Allowance


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(module, "perf_counter", made)
    return made


def spend(allowance, clock, seconds, **how):
    with allowance.spend(**how):
        clock.now += seconds


def test_nothing_is_afforded_before_it_is_known_what_it_takes(clock):
    allowance = Allowance(0.05)
    spend(allowance, clock, 1.0, once=True)
    clock.now += 1e6
    assert not allowance.affords()


def test_it_is_afforded_as_soon_as_all_of_it_is_within_the_share(clock):
    allowance = Allowance(0.05)
    spend(allowance, clock, 3.0, once=True)
    spend(allowance, clock, 1.0)
    clock.now += 99.9  # 5 s with the next one are 5 % of 100
    assert not allowance.affords()
    clock.now += 0.2
    assert allowance.affords()
    assert allowance.used == pytest.approx(4 / 100.1)


def test_what_took_longer_than_thought_is_made_up_for(clock):
    allowance = Allowance(0.1)
    spend(allowance, clock, 1.0)
    clock.now += 20
    assert allowance.affords()
    spend(allowance, clock, 5.0)
    assert not allowance.affords()
    clock.now += 89.9
    assert not allowance.affords()
    clock.now += 0.2
    assert allowance.affords()


def test_time_counts_where_it_raises_too(clock):
    allowance = Allowance(0.1)
    with pytest.raises(ZeroDivisionError), allowance.spend():
        clock.now += 2.0
        _ = 1 / 0
    assert allowance.spent == 2.0
    assert allowance.rest == 0.0
    assert allowance.used == float("inf")


@pytest.mark.parametrize("share", [0, -0.1, float("nan")])
def test_a_share_is_above_nothing(share):
    with pytest.raises(UsageError, match=r"overhead: is .*; give a share of time, such as 0.05"):
        Allowance(share)
