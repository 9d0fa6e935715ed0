"""Curves over strength: a law is found again from a few merges, and says what it cannot know."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from mergecast.errors import UndefinedError, UsageError
from mergecast.forecast.strengths import CURVE_COLUMNS, STRENGTH_COLUMNS, StrengthForecast
from mergecast.tables.strengths import Alone, Kept, StrengthReadings

MEMBERS = "abcdef"
FLOOR, LIFT = 0.2, 0.15
SENSITIVITY = dict(zip(MEMBERS, (0.1, 0.3, 0.2, 0.1, 0.4, 0.2), strict=True))


def own(strength):
    """What every member keeps alone: all at 1, little at 0."""
    return FLOOR + (1 - FLOOR) * (1 - np.exp(-3 * np.asarray(strength, float)))


def truth(member, weights, strength):
    """The law by which the readings are made."""
    others = [weight for label, weight in weights.items() if label != member]
    load = sum(weight**2 for weight in others) * strength**2
    lifted = strength * (weights[member] + LIFT * sum(others))
    return FLOOR + (own(np.minimum(lifted, 1.5)) - FLOOR) / (1 + SENSITIVITY[member] * load**1.3)


def readings(*, scales=(0.5, 1.0, 1.5), members=MEMBERS):
    strengths = np.array([0, 0.25, 0.5, 0.75, 1.0, 1.5])
    alone = {label: Alone(strengths, own(strengths), FLOOR) for label in members}
    products = {
        label: {(a, b): float(a == b) for a in members for b in members if label not in (a, b)}
        for label in members
    }
    merges = []
    for group in [*zip(members[::2], members[1::2], strict=True), tuple(members)]:
        weights = dict.fromkeys(group, 1.0)
        for scale in scales:
            strength = scale / len(group) ** 0.5
            merges += [
                Kept(label, weights, strength, float(truth(label, weights, strength)))
                for label in group
            ]
    return StrengthReadings("task_arithmetic", "labelled", alone, products, tuple(merges))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_sets_that_were_never_merged_are_forecast(size):
    forecast = StrengthForecast(readings())
    for members in combinations(MEMBERS, size):
        curve = forecast.curve(members)
        weights = dict.fromkeys(members, 1.0)
        true = np.mean([truth(one, weights, curve.strengths) for one in members], axis=0)
        assert abs(curve.mean - true).max() < 0.03
        assert true.max() - true[curve.best] < 0.003
        assert ((curve.low <= curve.mean) & (curve.mean <= curve.high)).all()


def test_a_drawn_curve_goes_through_what_is_forecast():
    forecast = StrengthForecast(readings())
    points = forecast.points(["a", "c"])
    assert list(points.columns) == CURVE_COLUMNS
    assert (points["strength"].iloc[0], points["strength"].iloc[-1]) == (0.0, 1.5)
    curve = forecast.curve(["a", "c"], points["strength"].to_numpy())
    np.testing.assert_allclose(points["kept"], curve.mean)
    assert points["kept"].iloc[0] == pytest.approx(FLOOR, abs=0.02)
    assert ((points["low"] <= points["kept"]) & (points["kept"] <= points["high"])).all()


def test_more_models_take_less_strength():
    forecast = StrengthForecast(readings())
    best = [forecast.table(size, 0.3)["strength"].mean() for size in (2, 4, 6)]
    assert best[0] > best[1] > best[2]
    table = forecast.table(3, 0.3)
    assert list(table.columns) == STRENGTH_COLUMNS
    assert len(table) == 20
    assert table["kept"].is_monotonic_decreasing
    assert (table["kept"] >= table["at_default"]).all()


def test_nothing_is_said_beyond_what_was_measured_alone():
    forecast = StrengthForecast(readings())
    curve = forecast.curve("ab", np.array([1.0, 1.5, 1.6]))
    assert np.isnan(curve.mean).tolist() == [False, False, True]
    weighted = forecast.curve({"a": 2.0, "b": 0.5})
    assert weighted.strengths.max() == pytest.approx(0.75)
    assert np.isnan(forecast.table(2, 5.0)["at_default"]).all()


def test_an_interval_is_wider_where_less_was_measured():
    much, little = (
        StrengthForecast(readings(scales=scales)).curve("ac")
        for scales in ((0.25, 0.5, 0.75, 1.0, 1.25, 1.5), (0.5,))
    )
    assert np.mean(much.high - much.low) < np.mean(little.high - little.low)


def test_a_weight_moves_its_member():
    forecast = StrengthForecast(readings())
    equal = forecast.curve({"a": 1.0, "b": 1.0}, np.array([0.5])).kept[:, 0]
    leaning = forecast.curve({"a": 1.5, "b": 0.5}, np.array([0.5])).kept[:, 0]
    assert leaning[0] > equal[0]
    assert leaning[1] < equal[1]


def test_what_cannot_be_said_is_refused():
    forecast = StrengthForecast(readings())
    with pytest.raises(UsageError, match="model 'x'"):
        forecast.curve("ax")
    with pytest.raises(UsageError, match="above 0"):
        forecast.curve({"a": 0.0, "b": 0.0})
    some = readings()
    none = StrengthReadings(some.method, some.way, some.alone, some.products, ())
    with pytest.raises(UndefinedError, match="no merge was observed"):
        StrengthForecast(none).curve("ab")
    spoilt = Kept("a", {"a": 1.0, "b": 1.0}, 0.5, float("nan"))
    bad = StrengthReadings(some.method, some.way, some.alone, some.products, (spoilt,))
    with pytest.raises(UndefinedError, match="not finite"):
        StrengthForecast(bad).curve("ab")
