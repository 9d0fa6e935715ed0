import json
import re
import shutil
from math import comb

import pandas as pd
import pytest

from mergecast.errors import UsageError
from mergecast.merging import METHODS
from mergecast.merging.method import MergingMethod
from mergecast.suites.digits.data import TASKS
from mergecast.suites.merges import random_sets
from mergecast.suites.run import run_suite
from mergecast.suites.status import suite_status
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable

FEW = ["noisy", "parity", "upright"]


def test_sets_are_distinct_sorted_and_of_four_sizes():
    sets = random_sets(TASKS, 20, 0)
    assert [len(members) for members in sets] == [3] * 20 + [4] * 20 + [5] * 20 + [6] * 20
    assert len(set(sets)) == 80
    assert all(list(members) == sorted(set(members)) for members in sets)
    assert {task for members in sets for task in members} == set(TASKS)


def test_they_follow_the_seed_and_neither_the_order_nor_the_number_asked_for():
    few = set(random_sets(TASKS, 5, 0))
    assert few < set(random_sets(list(reversed(TASKS)), 20, 0))
    assert few != set(random_sets(TASKS, 5, 1))


def test_there_are_fewer_where_the_tasks_do_not_allow_more():
    assert random_sets(["b", "a"], 20, 0) == []
    assert random_sets(["c", "b", "a"], 20, 0) == [("a", "b", "c")]
    counts = [len(m) for m in random_sets("abcdef", 15, 0)]
    assert [counts.count(size) for size in (3, 4, 5, 6)] == [15, comb(6, 4), comb(6, 5), 1]
    assert random_sets(TASKS, 0, 0) == []


@pytest.fixture
def copy(tmp_path, finished):
    return shutil.copytree(finished, tmp_path / "copy")


def test_a_run_without_sets_gets_them_later_and_trains_and_merges_nothing_again(copy, tiny):
    arguments = {"only": FEW, "methods": ["ties"], "recipe": tiny, "workers": 1}
    run_suite("digits-14", copy, n_sets=0, **arguments)
    assert json.loads((copy / "suite.json").read_text())["n_sets"] == 0
    assert suite_status(copy)["sets"] == (0, 0)
    pairs = OutcomeTable.read(copy / "outcomes.parquet")
    assert (pairs.sizes == 2).all()
    before = {path: path.stat().st_mtime_ns for path in (copy / "units").glob("*.json")}
    run_suite("digits-14", copy, n_sets=1, **arguments)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert suite_status(copy)["sets"] == (1, 1)
    outcomes = OutcomeTable.read(copy / "outcomes.parquet")
    triple = outcomes.frame[outcomes.frame["members"] == "noisy+parity+upright"]
    assert triple["task"].tolist() == FEW
    assert triple["score"].between(0, 1).all()
    # What reads pairs does not see it.
    pd.testing.assert_frame_equal(outcomes.members(), pairs.members())


def test_a_method_of_two_models_merges_no_larger_set(copy, tiny):
    ties = METHODS.get("ties")
    two = MergingMethod("two", ties.kernel, "an example", max_members=2)
    with METHODS.isolated():
        METHODS.add("two", two)
        run_suite("digits-14", copy, only=FEW, methods=["ties", "two"], recipe=tiny, workers=1)
    outcomes = OutcomeTable.read(copy / "outcomes.parquet")
    sizes = outcomes.sizes.groupby(outcomes.frame["method"]).max()
    assert sizes.to_dict() == {"ties": 3, "two": 2}
    assert outcomes.missing == ()


def test_a_run_holds_a_method_by_several_recipes(copy, tiny):
    own = "weight_avg(weights={noisy: 0.5, parity: 2})"
    arguments = {"only": FEW, "methods": ["ties"], "recipe": tiny, "workers": 1}
    arguments["recipes"] = ["ties(scaling=.3)", "ties(scaling=1)", own]
    before = len([*(copy / "units").glob("*.json")])
    run_suite("digits-14", copy, **arguments)
    # Merges by the new recipes and their evidence; by ties what was there.
    assert len([*(copy / "units").glob("*.json")]) == before + 4 + 1 + 1
    pairs = PairTable.read(copy / "pairs.parquet").frame
    usual, stronger = (
        pairs[f"superposed_overlap_unlabelled@{recipe}:left<-right"]
        for recipe in ("ties", "ties(scaling=1)")
    )
    assert not usual.equals(stronger)
    assert not [column for column in pairs if "weights=" in column]  # of two models alone
    outcomes = OutcomeTable.read(copy / "outcomes.parquet")
    assert outcomes.recipes == ["ties", "ties(scaling=1)", own]
    kept = outcomes.frame.set_index(["recipe", "members", "task"])["score"]
    assert len(kept[own]) == 2
    assert len(kept["ties"]) == len(kept["ties(scaling=1)"]) == 9
    assert not kept["ties"].equals(kept["ties(scaling=1)"])
    assert suite_status(copy)["outcomes"] == (7, 7)
    assert suite_status(copy)["sets"] == (2, 2)
    run_suite("digits-14", copy, **arguments)
    assert len([*(copy / "units").glob("*.json")]) == before + 6


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("dare(seed=3)", "recipe dare(drop_rate=0.9, scaling=1, seed=3): has a seed; leave it out"),
        ("weight_avg(weights={noisy: 1, loops: 2})", "'loops': unknown; known: noisy, parity"),
        ("ties(scaling=11)", "parameter 'scaling' of ties: is 11"),
    ],
)
def test_what_is_no_recipe_of_a_run_is_said_at_once(tmp_path, tiny, recipe, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        run_suite("digits-14", tmp_path / "run", only=FEW, recipe=tiny, recipes=recipe)
    assert not (tmp_path / "run").exists()


def test_a_negative_number_of_sets_is_a_usage_error(tmp_path, tiny):
    with pytest.raises(UsageError, match="n_sets: is -1; name a number of sets of each size"):
        run_suite("digits-14", tmp_path / "run", recipe=tiny, n_sets=-1)
    assert not (tmp_path / "run").exists()
