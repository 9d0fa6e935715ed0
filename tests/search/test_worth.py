"""What a merge keeps beside nothing, beside its base, and beside what a forecast asks for."""

from __future__ import annotations

import numpy as np
import pytest

from mergecast.display.kept import Own
from mergecast.forecast.recommend import THRESHOLD
from mergecast.search.worth import Worth


def worth(kept, base=None, least=None, labelled=True):
    nothing = np.full(len(kept), np.nan)
    free = np.full(len(kept), -np.inf)
    return Worth(
        np.array(kept),
        nothing if base is None else np.array(base),
        free if least is None else np.array(least),
        Own(dict.fromkeys("abcd"[: len(kept)], labelled)),
    )


@pytest.mark.parametrize(
    ("kept", "base", "lost"),
    [
        ([0.5, 0.6], None, {}),
        ([0.0, 0.6], None, {"a": "nothing"}),
        ([-0.1, 0.6], [0.2, 0.6], {"a": "nothing"}),
        ([0.5, 0.6], [0.5, 0.61], {"b": "less than the base"}),
        ([0.5, 0.6], [np.nan, 0.1], {}),
        ([0.95, 0.94], [0.3, 1.02], {}),
    ],
)
def test_nothing_and_less_than_the_base_are_no_merge(kept, base, lost):
    found = worth(kept, base)
    assert found.lost == lost
    assert found.advice == ("do not merge" if lost else "merge")


def test_a_requirement_that_is_missed_is_no_merge_either():
    assert worth([0.9, 0.8], least=[0.9, 0.8]).advice == "merge"
    missed = worth([0.9, 0.8], least=[0.9, 0.81])
    assert (missed.met, missed.advice, missed.remedy) == (False, "do not merge", "require less")


def test_those_below_what_a_forecast_asks_for_are_named_once():
    assert worth([THRESHOLD, 1.0]).at_a_loss == ""
    three = worth([0.899, 0.5, 0.95, 0.2], labelled=False)
    assert three.below == ("a", "b", "d")
    assert three.at_a_loss == (
        "a keeps 0.899, b 0.500 and d 0.200, less than 90% of their own answers: keep these apart, "
        'or require more (--require "*>=0.9"), so that a search refuses such a merge.'
    )
    # Of whom something was required is kept as that says.
    assert worth([0.5, 0.6], least=[0.5, -np.inf]).below == ("b",)


def test_the_reason_has_the_figures():
    found = worth([0.4, -0.25, 0.9, 0.9], [0.5, np.nan, 0.9, 0.9])
    assert found.why_not == (
        "keeps less of a than the base does (0.400 of its own score, the base 0.500 with its head) "
        "and nothing of b (-0.250 of its own score)"
    )
    assert found.remedy.endswith('more of a and b (--require "*>=0.9"), or without them')
    assert worth([0.4, 0.9], [0.5, 0.9]).remedy.endswith('more of a (--require "a>=0.9")')


def test_a_member_that_the_base_alone_serves_better_is_named():
    found = worth([0.95, 0.94], [0.3, 1.02])
    assert found.beside_base == "The base keeps more, with the models' heads, of b 0.940 (1.020)."
    assert worth([0.95, 0.94], [0.3, 0.94]).beside_base == worth([0.5, 0.6]).beside_base == ""
