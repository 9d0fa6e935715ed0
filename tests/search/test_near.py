"""Merges near a good one: which they are, and what superposition says of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mergecast.errors import UndefinedError
from mergecast.evidence.retention.merges import alone_left
from mergecast.evidence.retention.together import left_together
from mergecast.evidence.superposition.nearby import Nearby
from mergecast.evidence.superposition.shifts import Left
from mergecast.merging import Recipe
from mergecast.search.candidates import Candidate, Priced
from mergecast.search.near import FACTORS, Near
from mergecast.search.objective import Objective
from tiny_models import tiny_session

#: What a sum leaves of both its members.
AS_ALONE = dict.fromkeys("ab", Left())


@pytest.fixture
def session(tmp_path):
    with tiny_session(tmp_path) as session:
        yield session


def one(method, members=("a", "b"), kept=0.9):
    size = len(members)
    return Priced(
        Candidate(members, Recipe.of(method), method), np.full(size, kept), np.full(size, 0.05)
    )


def test_strengths_and_weights_are_looked_at(session):
    found = Near(session, Objective())(one("task_arithmetic"))
    recipes = [near.candidate.recipe for near in found]
    strengths = [recipe.strength for recipe in recipes if not recipe.weights]
    assert strengths == [float(f"{0.3 * factor:.3g}") for factor in FACTORS]
    assert any(recipe.weights for recipe in recipes)
    assert all(near.candidate.method == "task_arithmetic" for near in found)


@pytest.mark.parametrize(("method", "kept"), [("task_arithmetic", 0.97), ("tsv", 1.02)])
def test_no_merge_is_priced_above_what_models_can_keep(session, method, kept):
    found = Near(session, Objective())(one(method, kept=kept))
    assert found
    assert all((near.kept <= max(kept, 1.0) + 1e-12).all() for near in found)
    assert all((near.sd >= 0.05).all() for near in found)


def test_a_method_without_strength_and_weights_has_no_neighbours(session):
    assert Near(session, Objective())(one("slerp")) == []


def test_a_strength_outside_a_method_s_range_is_left_out(session):
    near = Near(session, Objective())(one("task_arithmetic(scaling=9)"))
    plain = [x.candidate.recipe.strength for x in near if not x.candidate.recipe.weights]
    assert plain == [float(f"{9 * factor:.3g}") for factor in FACTORS if 9 * factor < 10]


def test_at_the_recipe_s_own_strength_shifts_are_read_at_what_the_merge_leaves(session):
    nearby = Nearby.of(session, ("a", "b", "c"), "ties")
    shifts, merged = nearby.shifts, left_together(session, ("a", "b", "c"), "ties")
    left = {}
    for label in "abc":
        left[label] = Left(merged[label] / alone_left(session, label, "ties"))
        assert left[label].factor < 1
        expected = left[label].of(shifts.strength(label, "ties"))
        assert nearby.strengths[label] == pytest.approx(expected, rel=1e-3)
    for row, task in enumerate("abc"):
        own, others = shifts.in_merge(task, "ties", left, "abc")
        merge = (own + sum(others.values())).float()[None]
        expected = float(nearby.judges[task].values(merge)[0])
        assert nearby.kept(1.0)[row] == pytest.approx(expected, abs=1e-4)


def test_a_merge_that_fails_has_no_neighbours_by_superposition(session):
    with pytest.raises(UndefinedError, match="no merge by nuslerp"):
        Nearby.of(session, ("a", "b", "c"), "nuslerp")


def test_at_another_strength_every_shift_is_read_there(session):
    nearby = Nearby.of(session, ("a", "b"), "task_arithmetic")
    weights = {"a": 3.0, "b": 1.0}
    for factor, given, shares in ((1.7, None, (1.7, 1.7)), (0.6, weights, (0.9, 0.3))):
        found = nearby.kept(factor, given)
        for row, (task, other) in enumerate(("ab", "ba")):
            own, partner = shares if task == "a" else shares[::-1]
            shifts, strengths = nearby.shifts, nearby.strengths
            at = (partner * strengths[other], own * strengths[task])
            merged = shifts.base[task] + shifts.own_at(task, "task_arithmetic", at[1])
            merged = merged + shifts.beside(other, task, *at)
            value = nearby.judges[task].values(merged.float()[None])[0]
            assert found[row] == pytest.approx(float(value))


def test_beyond_what_was_measured_shifts_are_in_proportion(session):
    nearby = Nearby.of(session, ("a", "b"), "task_arithmetic(scaling=1)")
    assert max(nearby.strengths.values()) > 0.9
    for row, task in enumerate("ab"):
        base = nearby.shifts.base[task].float()[None]
        assert nearby.kept(0.0)[row] == pytest.approx(float(nearby.judges[task].values(base)[0]))
        own, others = nearby.shifts.in_merge(task, nearby.method, AS_ALONE, "ab")
        base = nearby.shifts.base[task]
        merged = base + 1.7 * (own - base + sum(others.values()))
        value = nearby.judges[task].values(merged.float()[None])[0]
        assert nearby.kept(1.7)[row] == pytest.approx(float(value))


def test_of_the_others_counts_what_members_are_known_to_keep(session):
    nearby = Nearby.of(session, ("a", "b", "c"), "task_arithmetic(scaling=0.7)")
    alone, whole = replace(nearby, share=0.0).kept(1.0), nearby.kept(1.0)
    assert nearby.share == 1.0
    assert np.abs(alone - whole).max() > 0.05
    assert nearby.like(whole).share > 0.9
    few = nearby.like(alone)
    assert few.share < 0.7
    assert np.abs(few.kept(1.0) - alone).sum() < 0.7 * np.abs(whole - alone).sum()
    # What is not known tells nothing.
    assert nearby.like(np.full(3, np.nan)).share == 1.0


def test_a_merge_is_priced_by_the_share_that_its_forecast_tells(session, monkeypatch):
    told = []

    def like(nearby, kept):
        told.append(kept.tolist())
        return nearby

    monkeypatch.setattr(Nearby, "like", like)
    Near(session, Objective())(one("task_arithmetic"))
    assert told == [[0.9, 0.9]]
    Near(session, Objective())(replace(one("task_arithmetic"), known=False))
    assert len(told) == 1
