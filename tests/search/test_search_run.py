"""The search itself, on merges whose truth is known: what it asks, finds, and when it ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from search_case import LABELS, Truth, priced

from mergecast.api.search_tables import tried_table, untried_table
from mergecast.errors import UndefinedError
from mergecast.search.candidates import Candidate, Pool, Priced
from mergecast.search.judge import levels
from mergecast.search.objective import Objective
from mergecast.search.run import Search
from mergecast.search.steps import KNOWN, Limits


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


def test_the_first_measurement_is_of_the_best_forecast_however_uncertain_others_are():
    merges = [
        replace(one, sd=np.full(len(one.kept), 0.02 if one.kept.mean() > 0.9 else 0.4))
        for one in priced()
    ]
    search = Search(Pool(LABELS, merges), Objective(), Truth(merges), Limits(looks=1))
    search.run()
    best = max(merges, key=lambda one: one.kept.mean())
    assert merges[search.best].candidate.key == best.candidate.key


def test_a_deadline_that_is_over_allows_one_round():
    truth = Truth(priced())
    search = Search(Pool(LABELS, priced()), Objective(), truth, Limits(deadline=0.0))
    search.run()
    assert len(truth.asked) == 1
    assert search.ended == "the time is over"


def test_every_merge_measured_in_full_ends_a_search():
    merges = priced(sd=0.2, sizes=(2,))[:3]
    truth = Truth(merges)
    truth.most = 50
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


@pytest.mark.parametrize("seed", range(4))
def test_the_largest_set_that_keeps_what_is_required_is_found(seed):
    merges = priced(sd=0.05, seed=seed, sizes=(2, 3, 4))
    judge = Truth(merges, seed)
    sizes = [(len(one.candidate.members), judge.kept[one.candidate.key].min()) for one in merges]
    least = sorted(value for size, value in sizes if size == 4)[-2] - 0.02  # two sets of four do
    sought = Objective("most", required={"*": float(least)})
    found = Search(Pool(LABELS, merges), sought, judge, Limits(looks=200), seed)
    found.run()
    members = merges[found.best].candidate.members
    kept = judge.kept[merges[found.best].candidate.key]
    assert len(members) == 4
    assert kept.min() > least - 0.02
    # What two smaller sets keep and none of four; or what none of four is near.
    few = sorted(value for size, value in sizes if size < 4)[-2]
    most = max(value for size, value in sizes if size == 4)
    kept_by_few = few > most + 0.01
    least = few - 0.005 if kept_by_few else most + 0.05
    strict = Objective("most", required={"*": float(least)})
    smaller = Search(Pool(LABELS, merges), strict, judge, Limits(looks=200), seed)
    smaller.run()
    chosen = merges[smaller.best].candidate
    assert len(chosen.members) < 4
    assert not kept_by_few or judge.kept[chosen.key].min() > least - 0.02


@pytest.mark.parametrize("kind", ["mean", "worst", "most"])
def test_the_merge_that_ends_a_search_is_the_one_that_it_gives(kind):
    for seed in range(6):
        merges = priced(seed=seed)
        sought = Objective(kind, required={"*": 0.7} if kind == "most" else {})
        search = Search(Pool(LABELS, merges), sought, Truth(merges, seed), Limits(epsilon=0.02))
        search.seed = seed
        search.run()
        if search.ended == KNOWN:
            assert search.certainty >= search.limits.confidence
        assert search.steps[-1].best.key == merges[search.best].candidate.key
        assert search.steps[-1].certainty == search.certainty


def test_what_is_believed_is_the_objective_and_not_what_requirements_make_of_it():
    merges = priced()
    for sought in (Objective("most", required={"*": 0.7}), Objective(required={"*": 0.99})):
        search = Search(Pool(LABELS, merges), sought, Truth(merges), Limits(looks=8))
        search.run()
        beliefs = search.beliefs()
        for table in (tried_table(search, beliefs), untried_table(search, beliefs)):
            assert table["believed"].between(0.5, 1.2).all()
