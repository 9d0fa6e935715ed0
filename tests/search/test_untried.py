"""Why merges were not measured: each has a reason of its own, of what was believed at the end."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest
from search_case import LABELS, Truth, priced

from mergecast.api.search_tables import untried_table
from mergecast.merging import Recipe
from mergecast.search.candidates import Candidate, Pool, Priced
from mergecast.search.objective import Objective
from mergecast.search.run import Search
from mergecast.search.steps import IDLE, KNOWN, OVER, SPENT, Limits


class Exact(Truth):
    """A judge by whom merges keep what was forecast."""

    most = 10**9

    def __init__(self, merges):
        super().__init__(merges)
        self.kept = {one.candidate.key: one.kept for one in merges}

    def levels(self, candidate):
        return (self.most,)


def pair(method, *kept, sd=0.02, members=("a", "b")):
    """A merge by a forecast of what each member keeps."""
    return Priced(
        Candidate(members, Recipe(method), method), np.array(kept), np.full(len(kept), sd)
    )


def untried(merges, objective=None, **limits):
    """The search of some merges, and the table of those that it did not measure."""
    search = Search(Pool(LABELS, merges), objective or Objective(), Truth(merges), Limits(**limits))
    search.run()
    return search, untried_table(search, search.beliefs())


def only(merges, objective=None, **limits):
    """The reason of the one merge that is left of two."""
    _, table = untried(merges, objective, looks=1, **limits)
    [why] = table["why"]
    return why


def test_what_is_thought_worse_would_have_to_be_so_many_errors_better():
    search, table = untried(priced(sd=0.02))
    assert search.ended in {KNOWN, IDLE}
    value, _ = search.utilities(search.beliefs())
    best = value[search.best]
    assert len(table) > 10
    assert table["why"].nunique() > 10
    for one in table.itertuples():
        errors = (best - one.believed) / one.sd
        if errors > 2:
            assert one.why == (
                f"thought to be worth {one.believed:.3f}, the best {best:.3f}: it would have to be "
                f"{errors:.1f} of its errors better"
            )


@pytest.mark.parametrize(
    ("limits", "ended", "said"),
    [
        ({"looks": 1}, SPENT, "the budget was spent first"),
        ({"deadline": 0.0}, OVER, "the time was over first"),
    ],
)
def test_a_budget_is_the_reason_for_what_may_be_the_best(limits, ended, said):
    search, table = untried(priced(sd=0.2), epsilon=0.0001, **limits)
    assert search.ended == ended
    value, _ = search.utilities(search.beliefs())
    errors = (value[search.best] - table["believed"]) / table["sd"]
    near = table["why"].str.endswith(said)
    assert (near == (errors < 1.5)).all()
    assert near.any()


def test_what_is_as_good_within_what_matters_is_said_to_be():
    merges = [pair("weight_avg", 0.9, 0.9, sd=1e-4), pair("ties", 0.89, 0.9, sd=1e-4)]
    why = only(merges, epsilon=0.01)
    assert (
        why == "thought as good as the best within what matters (0.01): the budget was spent first"
    )
    merges = [pair("weight_avg", 0.9, 0.9, sd=1e-4), pair("ties", 0.8, 0.9, sd=1e-4)]
    assert only(merges, epsilon=0.01).endswith("more than 10 of its errors better")


@pytest.mark.parametrize(
    ("kind", "kept", "said"),
    [
        ("mean", 0.94, r"keep 0\.94\d of b, where 0.95 is required: it would have to be [1-9]\.\d"),
        ("most", 0.94, r"keep 0\.94\d of b, where 0.95 is required: it would have to be [1-9]\.\d"),
        ("most", 0.953, r"keep 0\.95\d of b, hardly more than the 0.95 that is required"),
    ],
)
def test_what_is_required_is_the_reason_where_it_is_missed(kind, kept, said):
    merges = [pair("weight_avg", 0.99, 0.99, sd=0.005), pair("ties", 0.99, kept, sd=0.005)]
    truth = Objective(kind, required={"*": 0.95})
    search = Search(Pool(LABELS, merges), truth, Exact(merges), Limits(looks=1))
    search.run()
    [why] = untried_table(search, search.beliefs())["why"]
    assert re.match(f"thought to {said}", why)


def test_of_fewer_models_than_the_best_is_the_reason_where_most_are_sought():
    merges = [
        pair("weight_avg", *[0.99] * size, members=members)
        for size in (2, 3)
        for members in combinations("abc", size)
    ]
    sought = Objective("most", required={"*": 0.9})
    search = Search(Pool(LABELS, merges), sought, Exact(merges), Limits(looks=1))
    search.run()
    table = untried_table(search, search.beliefs())
    assert set(table["why"]) == {"has 2 models, and the best has 3"}
