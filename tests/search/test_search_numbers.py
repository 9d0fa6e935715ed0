"""Beliefs, gains, objectives and budgets: numbers against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from search_case import LABELS, priced

from mergecast.errors import UndefinedError, UsageError
from mergecast.merging import Recipe
from mergecast.search.beliefs import Beliefs, Rows, covariance
from mergecast.search.budget import Budget
from mergecast.search.candidates import Candidate, Priced
from mergecast.search.judge import Seen, levels
from mergecast.search.noise import Noise
from mergecast.search.objective import Objective
from mergecast.search.outlook import Outlook
from mergecast.search.policy import certainty, expected_gains
from mergecast.search.verify import verify


def apart(variance):
    """Noise that nothing shares, of single numbers."""
    n = len(variance)
    names = np.array(["a"] * n, dtype=np.str_)
    return Noise(names, np.ones(n), np.diag(variance), np.zeros(n, dtype=bool))


def test_beliefs_are_what_conditioning_a_joint_normal_gives():
    rows = Rows.of(LABELS, priced())
    whole = covariance(rows, rows)
    assert np.linalg.eigvalsh(whole).min() > -1e-12
    np.testing.assert_allclose(np.diag(whole), rows.sd**2)
    known = np.array([0, 1, 7, 30])
    values, noise = rows.mean[known] + [0.02, -0.03, 0.01, 0.04], np.full(4, 0.01**2)
    beliefs = Beliefs.given(rows, known, values, apart(noise))
    whole *= beliefs.scale
    gain = whole[:, known] @ np.linalg.inv(whole[np.ix_(known, known)] + np.diag(noise))
    np.testing.assert_allclose(beliefs.mean, rows.mean + gain @ (values - rows.mean[known]))
    left = whole - gain @ whole[known]
    np.testing.assert_allclose(beliefs.variance, np.diag(left), atol=1e-12)
    some = np.array([2, 5, 30, 31])
    np.testing.assert_allclose(beliefs.joint(some), left[np.ix_(some, some)], atol=1e-12)


def test_with_nothing_measured_beliefs_are_the_forecasts():
    rows = Rows.of(LABELS, priced())
    beliefs = Beliefs.given(rows, np.empty(0, dtype=np.intp), np.empty(0), Noise.of([]))
    np.testing.assert_array_equal(beliefs.mean, rows.mean)
    np.testing.assert_array_equal(beliefs.variance, rows.sd**2)


def test_forecasts_that_are_off_by_more_than_they_say_are_trusted_less():
    rows = Rows.of(LABELS, priced(sd=0.01))
    known = np.arange(0, 20)
    draw = np.random.default_rng(3)
    near, far = (rows.mean[known] + s * draw.standard_normal(20) for s in (0.005, 0.2))
    small, large = (Beliefs.given(rows, known, v, apart(np.full(20, 1e-4))) for v in (near, far))
    assert large.variance[30:].min() > 2 * small.variance[30:].max()


@pytest.mark.parametrize("true", [0.1, 1.0, 6.0])
def test_how_far_forecasts_are_off_is_learned_from_what_was_measured(true):
    rows = Rows.of(LABELS, priced())
    errors, known = covariance(rows, rows), np.arange(0, 60)
    draw = np.random.default_rng(5)
    noise = np.full(60, 0.01**2)
    found = []
    for _ in range(40):
        off = draw.multivariate_normal(np.zeros(len(errors)), true * errors)[known]
        values = rows.mean[known] + off + 0.01 * draw.standard_normal(60)
        found.append(Beliefs.given(rows, known, values, apart(noise)).scale)
    # The forecasts' own word, 1, counts as five rows beside sixty.
    assert np.median(found) == pytest.approx((5 + 60 * true) / 63, rel=0.4)
    exact = Beliefs.given(rows, known, rows.mean[known], apart(np.zeros(60)))
    assert exact.scale == pytest.approx(5 / 63, rel=0.1)
    assert np.isfinite(exact.variance).all()


def test_strengths_far_apart_tell_less_of_each_other():
    recipe = Recipe("ties")
    merges = [
        Priced(Candidate(("a", "b"), recipe.at(0.3 * f), "ties"), np.ones(2), np.full(2, 0.1))
        for f in (1.0, 1.2, 3.0)
    ]
    joint = covariance(*[Rows.of(LABELS, merges)] * 2)
    assert joint[0, 0] > joint[0, 2] > joint[0, 4]


def outlook(spread):
    """An outlook of merges of such beliefs, of which none was measured."""
    n = len(spread)
    places, none = np.arange(n), np.empty((0, n))
    return Outlook(places, np.zeros(n), np.zeros((1, n)), spread, np.eye(n), places, none)


def test_expected_gain_is_that_of_choosing_after_a_measurement():
    mean = np.array([0.9, 0.92, 0.85])
    spread = np.array([[4e-4, 1e-4, 0], [1e-4, 1e-4, 0], [0, 0, 9e-4]])
    noise = np.array([1e-4, 1e-4, 1e-4])
    moved = outlook(spread).moved(np.arange(3), noise, np.empty((0, 3)))
    gains = expected_gains(mean, moved)
    draw = np.random.default_rng(0).standard_normal(400_000)
    for row in range(3):
        by_hand = spread[row] / np.sqrt(spread[row, row] + noise[row])
        np.testing.assert_allclose(moved[:, row], by_hand)
        best = (mean + by_hand * draw[:, None]).max(axis=1).mean() - mean.max()
        assert gains[row] == pytest.approx(best, abs=2e-4)
    assert expected_gains(mean, np.zeros((3, 3))).max() == 0


def test_what_is_measured_again_is_known_better():
    spread = np.array([[4e-4, 2e-4], [2e-4, 4e-4]])
    found = outlook(spread)
    left = found.after(found.moved(np.array([0]), np.array([1e-4]), np.empty((0, 1)))[:, 0])
    assert left.covariance[0, 0] == pytest.approx(1 / (1 / 4e-4 + 1 / 1e-4))
    assert left.covariance[1, 1] < spread[1, 1]


def test_certainty_counts_what_matters():
    draws = np.array([[1.0, 1.004], [1.0, 1.02], [1.0, 0.9], [1.0, 1.0]])
    assert certainty(draws, 0, 0.005) == 0.75
    assert certainty(draws, 0, 0.03) == 1.0


def test_objectives():
    kept = np.array([[0.9, 0.8], [1.0, 0.5]])
    members = ("a", "b")
    np.testing.assert_allclose(Objective().value(members, kept), [0.85, 0.75])
    np.testing.assert_allclose(Objective("worst").value(members, kept), [0.8, 0.5])
    heavy = Objective("weighted", {"a": 3})
    np.testing.assert_allclose(heavy.value(members, kept), [0.875, 0.875])
    needs = Objective(required={"*": 0.7, "b": 0.8})
    np.testing.assert_array_equal(needs.met(members, kept), [True, False])
    assert needs.utility(members, kept[0]) == pytest.approx(0.85)
    assert needs.utility(members, kept[1]) < 0
    assert needs.needed == ("b",)
    most = Objective("most", required={"*": 0.9})
    three = most.utility(("a", "b", "c"), np.array([0.95, 0.95, 0.92]))
    two = most.utility(members, np.array([1.0, 1.0]))
    assert three > two > most.utility(("a", "b", "c"), np.array([1.0, 1.0, 0.87]))
    assert most.utility(members, np.array([1.0, 0.98])) > most.utility(members, [0.97] * 2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "best"}, "objective 'best': unknown"),
        ({"kind": "weighted"}, "needs importance"),
        ({"importance": {"a": 2}}, "takes no importance"),
        ({"kind": "weighted", "importance": {"a": -1}}, "is -1"),
        ({"required": {"a": 95}}, "is 95"),
        ({"kind": "most"}, "needs what every model must keep"),
        ({"kind": "most", "required": {"a": 0.9}}, "needs what every model must keep"),
        ({"kind": "weighted", "importance": {"a": "much"}}, "is 'much'"),
    ],
)
def test_objectives_that_make_no_sense(given, said):
    with pytest.raises(UsageError, match=said):
        Objective(**given)


def test_names_that_there_are_not():
    with pytest.raises(UsageError, match="requirement of model"):
        Objective(required={"x": 0.9}).check(["a", "b"])


@pytest.mark.parametrize("given", ["", "0", "1", "-3", "5 days", "0m", "soon", "1.5"])
def test_budgets_that_make_no_sense(given):
    with pytest.raises(UsageError, match="budget"):
        Budget.of(given)


def test_budgets():
    assert Budget.of("90s").seconds == 90
    assert Budget.of("1.5h").seconds == 5400
    assert Budget.of("200").looks == 200
    assert Budget.of(None) == Budget()


def test_levels_double_up_to_all():
    assert levels(30) == (30,)
    assert levels(400) == (50, 100, 200, 400)
    assert levels(1000) == (50, 100, 200, 400, 800, 1000)


@pytest.mark.parametrize("kind", ["mean", "worst"])
def test_the_interval_of_a_choice_holds_on_untouched_samples(kind):
    draw = np.random.default_rng(1)
    objective, members = Objective(kind), ("a", "b", "c")
    shares, kept = np.array([0.9, 0.8, 0.95]), np.array([0.9, 0.92, 0.97])
    held, wide = 0, []
    for _ in range(400):
        single = [(draw.random(300) < share).astype(float) for share in shares]
        merged = [one * (draw.random(300) < k) for one, k in zip(single, kept, strict=True)]
        found = verify(members, merged, single, objective)
        low, high = found.interval
        held += low <= objective.value(members, kept) <= high
        wide.append(high - low)
    assert 0.84 <= held / 400 <= 0.97
    assert np.mean(wide) < 0.09


def test_a_model_that_scores_nothing_on_few_samples_keeps_no_number():
    with pytest.raises(UndefinedError, match="own score on 20 samples of its task is 0"):
        Seen.of([np.ones(20)], [np.zeros(20)])
