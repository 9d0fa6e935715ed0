"""What a tier costs in passes of models, counted."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from measured import pair_table
from mergecast.evidence import MergeSettings, ProbeSettings
from mergecast.tasks.probe import Probe

CALIBRATION = 4


@pytest.fixture
def passes(monkeypatch):
    """Samples run forward, and samples whose gradients were taken, by the model's task."""
    counts = Counter()
    forward, grad = Probe.forward, torch.autograd.grad

    def counted_forward(self, samples):
        counts["forward calls"] += 1
        counts["forward samples"] += len(samples)
        return forward(self, samples)

    def counted_grad(*arguments, **options):
        counts["backward calls"] += 1
        return grad(*arguments, **options)

    monkeypatch.setattr(Probe, "forward", counted_forward)
    monkeypatch.setattr(torch.autograd, "grad", counted_grad)
    return counts


def run(built, names, folder=None, **options):
    family = built.open().subset(names)
    settings = ProbeSettings(calibration=CALIBRATION, cache=folder)
    return pair_table(family, tasks=built.tasks, settings=settings, **options)


@pytest.mark.parametrize("names", [("first", "second"), ("first", "second", "third")])
def test_the_papers_metrics_of_all_pairs_take_a_pass_a_model(probe_family, passes, names):
    built, n = probe_family("cnn"), len(names)
    run(built, names, tier="activations", metric_set="paper")
    # One pass a model, over the samples of every task: these fit one batch.
    assert passes["forward calls"] == n
    assert passes["forward samples"] == n * n * CALIBRATION
    passes.clear()
    run(built, names, tier="gradients", metric_set="paper")
    assert passes["forward calls"] == 2 * n
    assert passes["forward samples"] == n * n * CALIBRATION + n * CALIBRATION
    assert passes["backward calls"] == n


def test_all_pairs_interference_takes_a_fixed_number_of_passes_a_model(probe_family, passes):
    built = probe_family("cnn")
    taken = []
    for names in (("first", "second"), ("first", "second", "third")):
        passes.clear()
        run(built, names, tier="gradients", metric_set="interference")
        taken.append(passes["forward samples"] / len(names))
        # All samples for the gradient, every one by itself, and eight random factors of the
        # curvature for each four.
        assert passes["backward calls"] == len(names) * (1 + CALIBRATION + 8)
    assert taken == [4 * CALIBRATION] * 2
    passes.clear()
    run(built, names, tier="gradients", metric_set="paper")
    alone = passes["backward calls"]
    passes.clear()
    run(built, names, tier="gradients", metric_set="all", merges=MergeSettings(methods=("ties",)))
    # The gradient of the paper's metrics is interference's too.
    assert passes["backward calls"] == alone + len(names) * (CALIBRATION + 8)


def test_a_second_run_takes_no_pass_and_another_model_its_own(probe_family, passes, tmp_path):
    built = probe_family("cnn")
    options = {"tier": "gradients", "metric_set": "interference", "folder": tmp_path}
    first = run(built, ("first", "second"), **options)
    passes.clear()
    again = run(built, ("first", "second"), **options)
    assert not passes
    assert again.frame.equals(first.frame)
    more = run(built, ("first", "second", "third"), **options)
    # Its own sweeps; old models take their samples' gradients once more, for its task vector.
    assert passes["backward calls"] == 1 + CALIBRATION + 8 + 2 * CALIBRATION
    # Two rows of deltas instead of three are multiplied in another order: float32 rounding.
    for column in first.metrics:
        before, after = first.frame[column][0], more.frame[column][0]
        assert after == pytest.approx(before, rel=1e-4, abs=1e-6, nan_ok=True)


def test_an_interrupted_run_goes_on_where_it_was(probe_family, passes, monkeypatch, tmp_path):
    built = probe_family("cnn")
    options = {"tier": "gradients", "merges": MergeSettings(methods=("ties",), draws=1)}
    names = ("first", "second", "third")
    whole = run(built, names, **options)
    full = passes["forward calls"]
    counted = Probe.forward

    def interrupted(self, samples):
        if passes["forward calls"] == full // 2:
            raise KeyboardInterrupt
        return counted(self, samples)

    passes.clear()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Probe, "forward", interrupted)
        run(built, names, tmp_path, **options)
    passes.clear()
    found = run(built, names, tmp_path, **options)
    # The unit that was interrupted is done again, and a model's own answers are not kept.
    assert full // 2 <= passes["forward calls"] < 0.8 * full
    assert found.frame.equals(whole.frame)
