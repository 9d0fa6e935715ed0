"""Trials in Optuna's storage: one a merge, and another where a later search knows more of it."""

from __future__ import annotations

import numpy as np
from search_case import studies

from mergecast.merging import Recipe
from mergecast.search.candidates import Candidate
from mergecast.search.judge import Seen
from mergecast.search.steps import Step
from mergecast.search.trials import Trials

MERGE = Candidate(("a", "b"), Recipe("weight_avg"), "weight_avg")


def told(folder, *measured):
    """A search that saw a merge keep some value on so many samples."""
    trials = Trials(folder, "one", ("a", "b"), ("weight_avg",))
    for value, samples in measured:
        seen = Seen(np.full(2, value), np.full(2, 0.01), (samples, 5))
        trials.told(Step(MERGE, seen, 1.0, MERGE, value, 0.5), value)
    trials.end()
    [found] = studies(folder)
    return [(one.value, max(one.intermediate_values)) for one in found]


def test_a_merge_on_more_samples_than_a_trial_that_ended_is_another_trial(tmp_path):
    assert told(tmp_path, (0.9, 25), (0.8, 50)) == [(0.8, 50)]
    assert told(tmp_path, (0.9, 25), (0.8, 50)) == [(0.8, 50)]
    assert told(tmp_path, (0.8, 50), (0.7, 100)) == [(0.8, 50), (0.7, 100)]
