"""People's own merges by another score than before, in the same cache."""

from __future__ import annotations

import pandas as pd

import mergecast as mc
from mergecast.testing.tiny import TinyTask, tiny_family, tiny_tasks


def measured(folder, tasks, cache):
    family = tiny_family(folder, "ab")
    return mc.measure(family, tasks=tasks, methods=["weight_avg", "ties"], cache=folder / cache)


class Likely(TinyTask):
    """Scored by likelihood."""

    @property
    def score_name(self):
        return "likelihood"


def test_another_score_of_the_same_samples_is_measured_anew(tmp_path):
    """It had been found under the accuracy's key."""
    likely = {label: Likely(label, private=("head.*",)) for label in "ab"}
    by_accuracy = measured(tmp_path, tiny_tasks("ab"), "cache").outcomes.frame
    found, anew = (measured(tmp_path, likely, cache).outcomes.frame for cache in ("cache", "other"))
    pd.testing.assert_frame_equal(found, anew)
    assert (found["retention"] != by_accuracy["retention"]).any()
