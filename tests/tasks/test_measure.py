"""Score, loss and probability of a checkpoint on a task's samples, and what has none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from mergecast.errors import UndefinedError, UsageError
from mergecast.tasks.measure import majority, measure
from mergecast.tasks.probe import Probe
from mergecast.testing.tiny import TinyTask, tiny_states


@pytest.fixture
def probe():
    task = TinyTask("a", private=("head.*",))
    probe = Probe(task)
    probe.load(tiny_states("a")["a"])
    return probe


def test_means_over_all_samples_whatever_the_batches(probe):
    samples = probe.task.samples(20, 0, "test")
    found = measure(probe, samples)
    logits = probe.logits(tiny_states("a")["a"], samples).double()
    losses = functional.cross_entropy(logits, samples.labels, reduction="none")
    assert found.values["score"] == 0.8  # every fifth label was moved on
    assert found.values["loss"] == pytest.approx(float(losses.mean()), rel=1e-12)
    assert found.values["probability"] == pytest.approx(float((-losses).exp().mean()), rel=1e-12)
    assert (found.n_eval, found.n_classes, found.missing) == (20, 3, {})
    few = measure(probe, samples, batch_size=3)
    assert few.values == pytest.approx(found.values, rel=1e-6)


def test_what_a_task_does_not_define_is_missing_with_its_reason(probe, monkeypatch):
    def no_loss(self, logits, labels):
        raise UndefinedError("task 'a'", "is judged by its score alone")

    monkeypatch.setattr(TinyTask, "loss", no_loss)
    found = measure(probe, probe.task.samples(4, 0), batch_size=2)
    assert set(found.values) == {"score", "probability"}
    assert found.missing == {"loss": "task 'a': is judged by its score alone"}


def test_without_labels_or_a_finite_output_nothing_is_measured(probe):
    samples = probe.task.samples(4, 0)
    found = measure(probe, replace(samples, labels=None))
    assert found.values == {}
    assert set(found.missing.values()) == {"task 'a': its samples have no labels"}
    state = tiny_states("a")["a"]
    probe.load({**state, "up.weight": torch.full_like(state["up.weight"], torch.nan)})
    found = measure(probe, samples, batch_size=2)
    assert found.values == {}
    assert "the model's output is not finite" in found.missing["score"]


def test_a_tasks_own_score_must_be_one_finite_number_a_sample(probe, monkeypatch):
    samples = probe.task.samples(4, 0)
    monkeypatch.setattr(TinyTask, "score", lambda self, logits, labels: logits)
    with pytest.raises(UsageError, match=r"its score gave \[4, 3\] for 4 samples; return one"):
        measure(probe, samples)
    monkeypatch.setattr(TinyTask, "score", lambda self, logits, labels: 0.5)
    with pytest.raises(UsageError, match="its score gave float for 4 samples"):
        measure(probe, samples)
    monkeypatch.setattr(TinyTask, "score", lambda self, logits, labels: logits[:, 0] / 0)
    assert measure(probe, samples).missing == {"score": "task 'a': its score is not finite"}


def test_labels_outside_the_head_are_named(probe):
    samples = probe.task.samples(4, 0)
    with pytest.raises(UsageError, match="label 9 is outside its head of 3 classes"):
        measure(probe, replace(samples, labels=torch.full((4,), 9)))


def test_the_majority_is_the_share_of_the_commonest_class():
    assert majority(torch.tensor([0, 2, 2, 1])) == 0.5
    for labels in (None, torch.zeros(2, 3, dtype=torch.int64)):
        with pytest.raises(UndefinedError, match="not one class each"):
            majority(labels)
