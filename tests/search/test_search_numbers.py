"""Beliefs, gains, objectives and budgets: numbers against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from mergecast.errors import UndefinedError, UsageError
from mergecast.merging import Recipe
from mergecast.search.beliefs import Beliefs, Rows, covariance
from mergecast.search.budget import Budget
from mergecast.search.candidates import Candidate, Pool, Priced
from mergecast.search.judge import Seen, levels
from mergecast.search.objective import Objective
from mergecast.search.policy import after, certainty, draws_of, expected_gains
from mergecast.search.run import Search
from mergecast.search.steps import Limits
from mergecast.search.verify import verify

LABELS = ("a", "b", "c", "d", "e")
METHODS = ("weight_avg", "task_arithmetic", "ties")


def priced(sd=0.05, seed=0, sizes=(2, 3)):
    """All sets of some sizes by three methods, each with a forecast."""
    draw = np.random.default_rng(seed)
    return [
        Priced(
            Candidate(members, Recipe(method), method),
            draw.uniform(0.8, 1.0, len(members)),
            np.full(len(members), sd),
        )
        for size in sizes
        for members in combinations(LABELS, size)
        for method in METHODS
    ]


class Truth:
    """A judge that knows what every merge keeps, and answers with the noise of its samples."""

    levels = levels(400)
    at_once = 1

    def __init__(self, merges, seed=0):
        rows = Rows.of(LABELS, merges)
        joint = covariance(rows, rows) + 1e-9 * np.eye(len(rows.mean))
        values = draws_of(rows.mean, joint, 1, seed)[0]
        self.kept = {
            one.candidate.key: values[rows.merge == place] for place, one in enumerate(merges)
        }
        self.asked = []

    def variance(self, candidate, kept):
        del candidate
        return np.full(len(kept), 0.1)

    def cost(self, candidate, samples):
        return float(len(candidate.members) * samples)

    def see(self, asked):
        found = []
        for candidate, samples in asked:
            self.asked.append((candidate.key, samples))
            truth = self.kept[candidate.key]
            noise = np.random.default_rng(len(self.asked)).standard_normal(len(truth))
            variance = np.full(len(truth), 0.1 / samples)
            found.append(Seen(truth + noise * np.sqrt(variance), variance, samples))
        return found


def test_beliefs_are_what_conditioning_a_joint_normal_gives():
    rows = Rows.of(LABELS, priced())
    whole = covariance(rows, rows)
    assert np.linalg.eigvalsh(whole).min() > -1e-12
    np.testing.assert_allclose(np.diag(whole), rows.sd**2)
    known = np.array([0, 1, 7, 30])
    values, noise = rows.mean[known] + [0.02, -0.03, 0.01, 0.04], np.full(4, 0.01**2)
    beliefs = Beliefs.given(rows, known, values, noise)
    gain = whole[:, known] @ np.linalg.inv(whole[np.ix_(known, known)] + np.diag(noise))
    np.testing.assert_allclose(beliefs.mean, rows.mean + gain @ (values - rows.mean[known]))
    left = whole - gain @ whole[known]
    np.testing.assert_allclose(beliefs.variance, np.diag(left), atol=1e-12)
    some = np.array([2, 5, 30, 31])
    np.testing.assert_allclose(beliefs.joint(some), left[np.ix_(some, some)], atol=1e-12)


def test_with_nothing_measured_beliefs_are_the_forecasts():
    rows = Rows.of(LABELS, priced())
    beliefs = Beliefs.given(rows, np.empty(0, dtype=np.intp), np.empty(0), np.empty(0))
    np.testing.assert_array_equal(beliefs.mean, rows.mean)
    np.testing.assert_array_equal(beliefs.variance, rows.sd**2)


def test_forecasts_that_are_off_by_more_than_they_say_are_trusted_less():
    rows = Rows.of(LABELS, priced(sd=0.01))
    known = np.arange(0, 20)
    draw = np.random.default_rng(3)
    near, far = (rows.mean[known] + s * draw.standard_normal(20) for s in (0.005, 0.2))
    small, large = (Beliefs.given(rows, known, v, np.full(20, 1e-4)) for v in (near, far))
    assert large.variance[30:].min() > 2 * small.variance[30:].max()


def test_strengths_far_apart_tell_less_of_each_other():
    recipe = Recipe("ties")
    merges = [
        Priced(Candidate(("a", "b"), recipe.at(0.3 * f), "ties"), np.ones(2), np.full(2, 0.1))
        for f in (1.0, 1.2, 3.0)
    ]
    joint = covariance(*[Rows.of(LABELS, merges)] * 2)
    assert joint[0, 0] > joint[0, 2] > joint[0, 4]


def test_expected_gain_is_that_of_choosing_after_a_measurement():
    mean = np.array([0.9, 0.92, 0.85])
    spread = np.array([[4e-4, 1e-4, 0], [1e-4, 1e-4, 0], [0, 0, 9e-4]])
    noise = np.array([1e-4, 1e-4, 1e-4])
    gains = expected_gains(mean, spread, noise)
    draw = np.random.default_rng(0).standard_normal(400_000)
    for row in range(3):
        moved = spread[row] / np.sqrt(spread[row, row] + noise[row])
        best = (mean + moved * draw[:, None]).max(axis=1).mean() - mean.max()
        assert gains[row] == pytest.approx(best, abs=2e-4)
    assert expected_gains(mean, spread, np.full(3, np.inf)).max() == 0


def test_what_is_measured_again_is_known_better():
    spread = np.array([[4e-4, 2e-4], [2e-4, 4e-4]])
    left = after(spread, 0, 1e-4)
    assert left[0, 0] == pytest.approx(1 / (1 / 4e-4 + 1 / 1e-4))
    assert left[1, 1] < spread[1, 1]


def test_certainty_counts_what_matters():
    draws = np.array([[1.0, 1.004], [1.0, 1.02], [1.0, 0.9], [1.0, 1.0]])
    assert certainty(draws, 0, 0.005) == 0.75
    assert certainty(draws, 0, 0.03) == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_a_search_finds_a_merge_as_good_as_the_best_with_few_measurements(seed):
    merges = priced(seed=seed)
    truth = Truth(merges, seed)
    search = Search(Pool(LABELS, merges), Objective(), truth, Limits(epsilon=0.01), seed)
    search.run()
    worth = np.array([truth.kept[one.candidate.key].mean() for one in merges])
    chosen = truth.kept[merges[search.best].candidate.key].mean()
    assert worth.max() - chosen <= 0.02
    assert len({key for key, _ in truth.asked}) < len(merges) / 2


def test_the_same_seed_asks_the_same_and_another_may_not():
    runs = []
    for _ in range(2):
        truth = Truth(priced())
        search = Search(Pool(LABELS, priced()), Objective(), truth, Limits(looks=12), 5)
        search.run()
        runs.append((truth.asked, search.best))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_budget_of_measurements_is_kept_to(at_once):
    truth = Truth(priced(sd=0.2))
    truth.at_once = at_once
    limits = Limits(epsilon=0.0, confidence=0.999, looks=7)
    search = Search(Pool(LABELS, priced(sd=0.2)), Objective(), truth, limits)
    search.run()
    assert len(truth.asked) == len(search.steps) == 7
    assert search.ended == "the budget of measurements is spent"


def test_a_deadline_that_is_over_allows_one_round():
    truth = Truth(priced())
    search = Search(Pool(LABELS, priced()), Objective(), truth, Limits(deadline=0.0))
    search.run()
    assert len(truth.asked) == 1
    assert search.ended == "the time is over"


def test_every_merge_measured_in_full_ends_a_search():
    merges = priced(sd=0.2, sizes=(2,))[:3]
    truth = Truth(merges)
    truth.levels = (50,)
    limits = Limits(epsilon=0.0, confidence=0.999999)
    search = Search(Pool(LABELS, merges), Objective(), truth, limits)
    search.run()
    assert len(search.seen) == 3


def test_samples_grow_and_are_never_asked_for_twice():
    truth = Truth(priced())
    Search(Pool(LABELS, priced()), Objective(), truth, Limits(looks=40, epsilon=0.001)).run()
    assert len(set(truth.asked)) == len(truth.asked)
    for key in {key for key, _ in truth.asked}:
        seen = [samples for one, samples in truth.asked if one == key]
        assert seen == list(levels(400)[: len(seen)])


def test_merges_near_the_best_are_looked_at_once_for_every_set_and_method():
    merges = priced()
    truth, asked = Truth(merges), []

    def near(one):
        asked.append((one.candidate.members, one.candidate.method))
        recipe = one.candidate.recipe
        if recipe.strength is None:
            return []
        found = Priced(
            Candidate(one.candidate.members, recipe.at(0.123), one.candidate.method),
            one.kept + 0.05,
            one.sd,
        )
        truth.kept[found.candidate.key] = found.kept
        return [found]

    search = Search(Pool(LABELS, merges), Objective(), truth, refine=near)
    search.run()
    assert len(set(asked)) == len(asked) > 0
    assert any(recipe.strength == 0.123 for recipe in (x.candidate.recipe for x in search.priced))


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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "best"}, "objective 'best': unknown"),
        ({"kind": "weighted"}, "needs importance"),
        ({"importance": {"a": 2}}, "takes no importance"),
        ({"kind": "weighted", "importance": {"a": -1}}, "is -1"),
        ({"required": {"a": 95}}, "is 95"),
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


def test_a_merge_that_cannot_be_made_is_left_out_and_the_search_goes_on():
    merges = priced()
    truth = Truth(merges)
    see = truth.see

    def failing(asked):
        found = see(asked)
        return [
            "no such merge" if one.recipe.method == "ties" else seen
            for (one, _), seen in zip(asked, found, strict=True)
        ]

    truth.see = failing
    search = Search(Pool(LABELS, merges), Objective(), truth, Limits(looks=30))
    search.run()
    tried = [key for key, _ in truth.asked]
    ties = {one.candidate.key for one in merges if one.candidate.method == "ties"}
    assert len([key for key in tried if key in ties]) == len(search.failed)
    assert search.priced[search.best].candidate.method != "ties"


def test_where_no_merge_can_be_made_it_is_said():
    merges = priced(sizes=(2,))[:3]
    truth = Truth(merges)
    truth.see = lambda asked: ["too large"] * len(asked)
    with pytest.raises(UndefinedError, match="none can be made: too large"):
        Search(Pool(LABELS, merges), Objective(), truth).run()
