"""Trials in Optuna's storage: one a merge, and another where a later search knows more of it."""

from __future__ import annotations

import numpy as np
import pytest
from search_case import studies

from mergecast.merging import Recipe
from mergecast.search.candidates import Candidate
from mergecast.search.judge import Seen
from mergecast.search.steps import Step
from mergecast.search.trials import Trials

MERGE = Candidate(("a", "b"), Recipe("weight_avg"), "weight_avg")


def trials_of(folder, *measured, merge=MERGE):
    """The trials of a search that saw a merge keep some value on so many samples."""
    trials = Trials(folder, "one", ("a", "b", "c"), ("weight_avg", "ties", "tsv"))
    for value, samples in measured:
        seen = Seen(np.full(2, value), np.full(2, 0.01), (samples, 5))
        trials.told(Step(merge, seen, 1.0, merge, value, 0.5), value)
    trials.end()
    [found] = studies(folder)
    return found


def told(folder, *measured):
    """Value and samples of every trial."""
    found = trials_of(folder, *measured)
    return [(one.value, max(one.intermediate_values)) for one in found]


def test_a_merge_on_more_samples_than_a_trial_that_ended_is_another_trial(tmp_path):
    assert told(tmp_path, (0.9, 25), (0.8, 50)) == [(0.8, 50)]
    assert told(tmp_path, (0.9, 25), (0.8, 50)) == [(0.8, 50)]
    assert told(tmp_path, (0.8, 50), (0.7, 100)) == [(0.8, 50), (0.7, 100)]


@pytest.mark.parametrize(
    ("recipe", "numbers"),
    [
        (Recipe("weight_avg"), {"weight a": 1.0, "weight b": 1.0}),
        (
            Recipe("ties", {"scaling": 0.4}, {"a": 0.7, "b": 12.5}),
            {"scaling": 0.4, "weight a": 0.7, "weight b": 12.5},
        ),
        (Recipe("tsv", {"scaling": 0.6}), {"scaling": 0.6}),
    ],
)
def test_a_trial_has_all_numbers_of_its_recipe(tmp_path, recipe, numbers):
    merge = Candidate(("a", "b"), recipe, recipe.method)
    [found] = trials_of(tmp_path, (0.9, 25), merge=merge)
    inside = {"has a": 1, "has b": 1, "has c": 0}
    assert found.params == {"method": recipe.method, **inside, **numbers}


def test_trials_of_other_weights_are_of_one_study(tmp_path):
    for weight in (0.5, 30.0):
        recipe = Recipe("weight_avg", weights={"a": weight, "b": 1.0})
        found = trials_of(tmp_path, (0.9, 25), merge=Candidate(("a", "b"), recipe, "weight_avg"))
    assert [one.params["weight a"] for one in found] == [0.5, 30.0]
