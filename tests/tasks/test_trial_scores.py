"""What a model that is tried scores, on either of its splits, and what is doubtful about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mergecast.tasks.probe import Probe
from mergecast.tasks.trial_scores import tried_scores
from mergecast.testing.tiny import TinyTask, tiny_states

N = 200


def tried(wrong=0.0, *, test=True, labelled=True, base=True):
    """The scores of a tiny model; a share of the test samples' labels is moved on by one class."""
    task, states = TinyTask("a", private=("head.*",)), tiny_states("a")
    read = {"calibration": task.samples(N, 0)}
    if test:
        read["test"] = task.samples(N, 0, "test")
        moved = (read["test"].labels + (torch.arange(N) < wrong * N)) % 3
        read["test"] = replace(read["test"], labels=moved)
    if not labelled:
        read = {split: replace(some, labels=None) for split, some in read.items()}
    probe = Probe(task)
    probe.load(states["a"])
    head = {name: value for name, value in states["a"].items() if name.startswith("head.")}
    return tried_scores(probe, {**states["base"], **head} if base else None, read, 32)


def test_scores_stand_beside_the_base_and_the_commonest_class():
    found = tried()
    assert (found.score, found.test) == (0.8, 0.8)
    samples = TinyTask("a").samples(N, 0)
    assert found.commonest == samples.labels.bincount().max() / N
    assert found.commonest < found.base < found.score
    assert found.warnings == []
    assert tried(test=False).test is None


def test_test_samples_that_are_labelled_otherwise_are_named():
    found = tried(0.3)
    [warning] = found.warnings
    assert f"scores 0.800 on {N} samples of `data:` and {found.test:.3f} on {N} test" in warning


@pytest.mark.parametrize("wrong", [0.5, 1.0])
def test_test_samples_that_the_model_cannot_answer_are_named(wrong):
    [warning] = tried(wrong).warnings
    assert warning.startswith("on its test samples the model scores ")


def test_without_labels_or_base_there_is_less_to_say():
    bare = tried(labelled=False)
    assert (bare.score, bare.base, bare.commonest, bare.test) == (None,) * 4
    alone = tried(1.0, base=False)
    assert (alone.score, alone.base, alone.warnings) == (0.8, None, [])
