"""What models lose beside each other is read from measurements, and is half of what is said."""

from dataclasses import replace

import numpy as np
import pytest

from mergecast.evidence import MergeSettings
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.retention.together import together
from mergecast.evidence.superposition.gather import gather
from mergecast.evidence.superposition.lefts import Lefts
from mergecast.evidence.superposition.losses import Losses
from mergecast.evidence.superposition.pair_shifts import PairShifts
from mergecast.evidence.superposition.set_judge import SetJudge
from mergecast.evidence.superposition.set_shifts import SetShifts
from mergecast.evidence.superposition.shifts import Left
from tiny_models import of_one_kind, tiny_session

FORM, SUM = "expected_labelled", "task_arithmetic(scaling=0.2)"


@pytest.fixture
def session(tmp_path):
    """Three models whose answers are not linear in weights."""
    merges = MergeSettings(samples=12, methods=("weight_avg", SUM))
    return tiny_session(tmp_path, merges=merges)


@pytest.fixture
def shifts(session):
    return gather(session)


@pytest.fixture
def judges(session, shifts):
    return {
        task: forms.Reference(shifts.single[task], own_answers(session, task)[0].labels).compare
        for task in "abc"
    }


@pytest.fixture
def losses(shifts, judges):
    return Losses(shifts, {x: lambda answers, x=x: judges[x](answers).values for x in "abc"})


def test_at_the_strengths_that_were_measured_they_are_what_merges_lose(
    session, shifts, judges, losses
):
    own = judges["a"](shifts.base["a"] + shifts.half["a", "a"]).values[FORM]
    average = together(session, ("a", "b"), "weight_avg")["a"].values[FORM]
    half, whole = (losses.beside("a", "b", share)[FORM] for share in (0.5, 1.0))
    assert half == pytest.approx(1 - average / own, abs=1e-6)
    assert abs(half) > 1e-3
    # All of a model keeps all of itself.
    both = judges["a"](shifts.single["a"] + shifts.whole["b", "a"]).values[FORM]
    assert whole == pytest.approx(1 - both, abs=1e-6)
    assert whole != pytest.approx(2 * half, abs=1e-3)


def test_between_them_they_are_on_a_parabola(shifts, losses):
    def at(strength):
        return losses.beside("a", "b", strength)[FORM]

    curve = np.polynomial.Polynomial.fit([0, 0.5, 1], [0, at(0.5), at(1)], 2)
    for strength in (0.0, 0.2, 0.75, 1.5):
        assert at(strength) == pytest.approx(curve(strength), abs=1e-9)
    assert at(0.2) != pytest.approx(0.4 * at(0.5), abs=1e-4)
    halves = Losses(replace(shifts, whole={}), losses.kept)
    assert halves.beside("a", "b", 1)[FORM] == pytest.approx(2 * at(0.5))


def test_a_share_of_nothing_is_not_defined(shifts):
    kept = {"a": lambda answers: {"nothing": 0.0, "less": -1.0, "some": float(answers.norm())}}
    assert {*Losses(shifts, kept).beside("a", "b", 0.75)} == {"some"}


def test_half_of_what_is_said_of_a_pair_are_its_losses(session, shifts, judges, losses):
    pairs = PairShifts(shifts, judges, Lefts.of(session, of_one_kind("abc"), {}, Left()))
    strength = shifts.strength("b", SUM)
    assert strength == pytest.approx(0.2, abs=0.05)
    alone = judges["a"](shifts.alone["a", SUM]).values[FORM]
    for share in (1.0, 0.3):
        answers = shifts.alone["a", SUM] + share * shifts.beside(
            "b", "a", strength, shifts.strength("a", SUM)
        )
        told = alone * (1 - share * losses.beside("a", "b", strength)[FORM])
        found = pairs.kept([("a", "b")], SUM, share)["a", "b", SUM].values[FORM]
        expected = (judges["a"](answers).values[FORM] + told) / 2
        assert found == pytest.approx(expected, abs=1e-6)
    without = pairs.kept([("a", "b")], SUM, 0.0)["a", "b", SUM].values[FORM]
    assert without == pytest.approx(alone, abs=1e-6)


def test_what_losses_say_of_a_pair_stays_in_the_range_of_its_form(session, shifts, judges):
    pairs = PairShifts(shifts, judges, Lefts.of(session, of_one_kind("abc"), {}, Left()))
    object.__setattr__(pairs, "_losses", Losses(shifts, {}))
    pairs._losses._pairs["a", "b"] = ({"overlap_unlabelled": 9.0, "kept_unlabelled": -9.0}, None)
    found = pairs.kept([("a", "b")], "weight_avg")["a", "b", "weight_avg"].values
    answers = judges["a"](shifts.of_pair("a", "b", "weight_avg")).values
    assert found["overlap_unlabelled"] == pytest.approx(answers["overlap_unlabelled"] / 2)
    assert found["kept_unlabelled"] == pytest.approx((answers["kept_unlabelled"] + 1) / 2)
    # A form without losses is what answers say.
    assert found[FORM] == answers[FORM]


def test_of_a_set_each_takes_its_share_of_what_is_left(session, shifts, monkeypatch):
    judges = {x: SetJudge.of(session, x) for x in "abc"}
    left = Left(2 / 3)
    sets = SetShifts(shifts, judges, Lefts.of(session, of_one_kind("abc"), {}, left))
    [[found, *_]], [[alone, *_]] = sets.kept([("a", "b", "c")], "weight_avg")
    lost = [
        sets._losses.beside("a", x, left.of(shifts.strength(x, "weight_avg")))["expected"]
        for x in "bc"
    ]
    told = alone * (1 - lost[0]) * (1 - lost[1])
    monkeypatch.setattr(Losses, "beside", lambda *_: {})
    [[answers, *_]], _ = sets.kept([("a", "b", "c")], "weight_avg")
    assert found == pytest.approx((answers + told) / 2, abs=1e-6)
    assert not np.isclose(told, answers, atol=1e-3)
    # No one loses more than all.
    monkeypatch.setattr(Losses, "beside", lambda *_: {"expected": 5.0})
    [[least, *_]], _ = sets.kept([("a", "b", "c")], "weight_avg")
    assert least == pytest.approx(answers / 2, abs=1e-6)
