"""How far a suite's scores hang on its tasks."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from mergecast.forecast.validation.evaluate import evaluate
from mergecast.forecast.validation.over_tasks import (
    beside_constant,
    error_over_tasks,
    gain_over_tasks,
    inside_over_tasks,
)

TASKS = [f"t{k}" for k in range(8)]


def told(predicted, measured, tasks=TASKS):
    """Member rows under two methods: functions of method, member and partner."""
    rows = []
    for left, right in combinations(tasks, 2):
        for method in ("dare", "ties"):
            for member, partner in ((left, right), (right, left)):
                names = (method, member, partner)
                row = dict(zip(("method", "member"), names, strict=False))
                row |= {"left": left, "right": right, "fold": "", "predictor": "p"}
                rows.append(row | {"predicted": predicted(*names), "measured": measured(*names)})
    return pd.DataFrame(rows)


def level(member):
    return 0.6 + 0.04 * TASKS.index(member)


def test_the_ratio_is_of_pairs_errors_and_a_draw_leaves_it_between_its_ends():
    draw = np.random.default_rng(0)
    rows = told(lambda *_: 0.8, lambda _m, a, _b: level(a) + draw.normal(0, 0.01))
    found = error_over_tasks(rows)
    pairs = rows.groupby(["method", "left", "right"])["measured"].mean()
    own = (pairs - pairs.groupby("method").transform("mean")).abs().mean()
    assert found["ratio"] == pytest.approx((pairs - 0.8).abs().mean() / own)
    assert found["ratio_low"] < found["ratio"] < found["ratio_high"]
    assert error_over_tasks(rows) == found


def test_the_task_that_counts_most_is_named():
    def predicted(_method, member, partner):
        return level(member) + (0.3 if "t3" in (member, partner) else 0.02)

    found = error_over_tasks(told(predicted, lambda _m, a, _b: level(a)))
    assert found["task"] == "t3"
    assert found["ratio_without"] < found["ratio"] / 2


def test_pairs_without_a_number_stay_out_and_none_at_all_is_not_defined():
    rows = told(lambda _m, a, _b: level(a) + 0.01, lambda _m, a, _b: level(a))
    holed = rows.assign(predicted=rows["predicted"].where(rows["left"] != "t0"))
    assert error_over_tasks(holed)["ratio"] < error_over_tasks(rows)["ratio"] * 2
    nothing = error_over_tasks(rows.assign(predicted=np.nan))
    assert np.isnan(nothing["ratio"])
    assert nothing["task"] == ""
    assert np.isnan(gain_over_tasks(rows.assign(predicted=np.nan))["gain"])


def test_choosing_gains_what_the_best_fixed_method_loses():
    def measured(method, member, partner):
        """`ties` is the better one where two early tasks meet, `dare` for all others."""
        early = {member, partner} <= set(TASKS[:5])
        return 0.9 if (method == "ties") == early else 0.7

    found = gain_over_tasks(told(measured, measured))
    assert found["gain"] == pytest.approx(0.2 * 10 / 28)
    assert 0 <= found["gain_low"] < found["gain"] < found["gain_high"]
    # Forecasts that say nothing of methods choose one and the same for all.
    level_of = told(lambda *_: 0.8, measured)
    assert gain_over_tasks(level_of)["gain_high"] == pytest.approx(0, abs=1e-12)


def test_draws_that_have_nothing_of_a_method_are_left_out():
    """Of four tasks many draws lack all pairs of a method that two of them know."""
    rows = told(lambda *_: 0.8, lambda _m, a, _b: level(a), TASKS[:4])
    few = rows[(rows["method"] == "ties") | (rows["left"] == "t0")]
    found = error_over_tasks(few)
    assert np.isfinite([found["ratio"], found["ratio_low"], found["ratio_high"]]).all()
    # One pair, or all alike: the own mean errs by nothing, and there is no ratio.
    assert np.isnan(error_over_tasks(rows.assign(measured=0.7))["ratio"])


def test_one_task_that_intervals_miss_is_an_eighth_of_all_members_and_more_of_a_draw():
    rows = told(lambda *_: 0.8, lambda _m, a, _b: 0.8 if a != "t3" else 0.5)
    found = inside_over_tasks(rows.assign(lower=0.7, upper=0.9))
    assert found["inside"] == pytest.approx(7 / 8)
    assert found["inside_low"] < 0.75
    assert found["inside_high"] == 1
    # Rows without an interval do not count; none at all is not defined.
    holed = rows.assign(lower=np.where(rows["member"] == "t3", np.nan, 0.7), upper=0.9)
    assert inside_over_tasks(holed)["inside"] == 1
    assert np.isnan(inside_over_tasks(rows.assign(lower=np.nan, upper=np.nan))["inside"])


def test_the_error_beside_the_constants_is_of_the_same_pairs_in_every_draw():
    rows = told(lambda *_: 0.9, lambda *_: 0.8).query("method == 'ties'").assign(suite="s")
    constant = rows.assign(predicted=0.6)
    found = beside_constant(rows, constant, draws=50)
    assert [found[key] for key in ("gain", "gain_low", "gain_high")] == pytest.approx([0.1] * 3)
    assert [found["ratio"], found["ratio_without"]] == pytest.approx([0.5, 0.5])
    # 7 of the 28 pairs are of t3, where both are off by more: (21 x 0.1 + 7 x 0.5) / (28 x 0.2).
    of_t3 = (rows[["left", "right"]] == "t3").any(axis=1)
    found = beside_constant(rows.assign(predicted=rows["predicted"] + 0.4 * of_t3), constant, 50)
    assert found["ratio"] == pytest.approx(1)
    assert (found["task"], found["ratio_without"]) == ("t3", pytest.approx(0.5))
    assert found["gain_low"] < found["gain"] == pytest.approx(0)
    assert 0 < found["gain_high"] <= 0.1 + 1e-12
    assert "gain_low" not in beside_constant(rows, constant)
    assert np.isnan(beside_constant(rows, rows.assign(predicted=0.8))["ratio"])


def test_tasks_of_two_suites_are_not_one_task():
    one = told(lambda *_: 0.9, lambda *_: 0.8).query("method == 'ties'").assign(suite="s")
    both = pd.concat([one, one.assign(suite="u", predicted=1.0)], ignore_index=True)
    assert beside_constant(both, both.assign(predicted=0.6))["task"].split("/")[0] in ("s", "u")


@pytest.mark.parametrize("protocol", ["loto", "l2to"])
def test_an_evaluation_says_what_is_gained_over_the_constant(protocol, make_suite):
    suite = make_suite("metric", n_tasks=6)
    found = evaluate(*suite, protocol, ["ridge"], bootstrap=20).results.set_index("predictor")
    ridge, constant = found.loc["ridge"], found.loc["constant"]
    assert ridge["gain"] == pytest.approx(constant["mae"] - ridge["mae"])
    assert ridge["ratio"] == pytest.approx(ridge["mae"] / constant["mae"])
    assert 0 < ridge["gain_low"] <= ridge["gain"] <= ridge["gain_high"]
    assert ridge["task"].startswith("t0")
    assert 0 < ridge["ratio_without"] < 1
    assert found.loc["constant", ["gain", "gain_low", "ratio"]].isna().all()
    assert constant["task"] == ""
    assert "gain_low" not in evaluate(*suite, protocol, ["ridge"]).results
