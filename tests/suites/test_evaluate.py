"""Models and merges on test samples: heads, BatchNorm, merges that do not exist."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import UndefinedError
from mergecast.evidence import MergeSettings
from mergecast.evidence.retention.batchnorm import reestimated
from mergecast.merging import METHODS, merge, merging_method
from mergecast.suites.evaluate import evaluate_merge, evaluate_single, session_of
from mergecast.tasks.measure import QUANTITIES, measure
from mergecast.tasks.probe import Probe
from mergecast.testing.tiny import TinyTask, tiny_family


class SmallTask(TinyTask):
    """As many samples as a test needs, where all are asked for."""

    def samples(self, count, seed, split="calibration"):
        return super().samples(40 if count is None else count, seed, split)


def tasks(**options):
    return [SmallTask(label, private=("head.*",), **options) for label in "ab"]


def paths(folder, labels="ab"):
    return {label: folder / f"{label}.safetensors" for label in labels}


def evaluated(folder, *, reestimate_batchnorm, **options):
    how = MergeSettings(reestimate_batchnorm=reestimate_batchnorm)
    session = session_of(tasks(**options), folder / "base.safetensors", paths(folder), how)
    return evaluate_merge(session, "ab", "weight_avg")


def test_the_base_is_evaluated_with_the_models_head(tmp_path):
    tiny_family(tmp_path, "ab")
    task = tasks()[0]
    session = session_of([task], tmp_path / "base.safetensors", paths(tmp_path, "a"))
    record = evaluate_single(session, "a")
    base, model = load_file(tmp_path / "base.safetensors"), load_file(tmp_path / "a.safetensors")
    head = {name: value for name, value in model.items() if name.startswith("head.")}
    probe = Probe(task)
    for key, state in (("base", {**base, **head}), ("single", model)):
        probe.load(state)
        assert record[key]["values"] == measure(probe, task.samples(40, 0, "test")).values
    assert record["base"] != record["single"]
    assert record["sizes"] == {"train": 40, "calibration": 40, "test": 40}


@pytest.mark.parametrize("again", [True, False])
def test_batchnorm_is_measured_anew_where_the_recipe_says_so(tmp_path, again):
    family = tiny_family(tmp_path, "ab", batchnorm=True)
    scores = evaluated(tmp_path, batchnorm=True, reestimate_batchnorm=again)
    merged = merge(family, "weight_avg")
    for task in tasks(batchnorm=True):
        model = load_file(tmp_path / f"{task.name}.safetensors")
        head = {name: value for name, value in model.items() if name.startswith("head.")}
        probe = Probe(task)
        state = {**merged, **head}
        if again:
            state = reestimated(probe, state, task.samples(40, 0, "calibration"))
        probe.load(state)
        expected = measure(probe, task.samples(40, 0, "test")).values
        assert scores[task.name]["values"] == pytest.approx(expected, rel=1e-6)


def test_without_batchnorm_nothing_depends_on_it(tmp_path):
    tiny_family(tmp_path, "ab")
    both = [evaluated(tmp_path, reestimate_batchnorm=again) for again in (True, False)]
    assert both[0] == both[1]


class SpoiltTask(SmallTask):
    """One of its numbers is none."""

    def samples(self, count, seed, split="calibration"):
        found = super().samples(count, seed, split)
        found.inputs["x"][0, 0] = torch.nan
        return found


def test_samples_that_are_not_finite_are_no_merge_s_doing(tmp_path):
    tiny_family(tmp_path, "ab")
    session = session_of(
        [SpoiltTask("a", private=("head.*",))], tmp_path / "base.safetensors", paths(tmp_path, "a")
    )
    with pytest.raises(UndefinedError) as caught:
        evaluate_single(session, "a")
    assert str(caught.value) == (
        "model 'a': has no score: task 'a': the model's output is not finite; leave the task out, "
        "or look for NaN in its samples and head"
    )
    # A merge of models that answer is what is too strong.
    session = session_of(tasks(), tmp_path / "base.safetensors", paths(tmp_path))
    with METHODS.isolated():
        merging_method("far_too_strong", reference="a test")(
            lambda block: 3e37 * block.deltas.sum(dim=0)
        )
        found = evaluate_merge(session, "ab", "far_too_strong")
    for label in "ab":
        assert found[label]["missing"]["score"] == (
            f"task {label!r}: the model's output is not finite; merge less strongly"
        )


def test_a_merge_that_does_not_exist_has_its_reason_for_every_member(tmp_path):
    tiny_family(tmp_path, "ab")
    broken = load_file(tmp_path / "a.safetensors")
    broken["up.weight"][0] = float("nan")
    write_safetensors(tmp_path / "a.safetensors", broken)
    scores = evaluated(tmp_path, reestimate_batchnorm=False)
    for label in "ab":
        assert scores[label]["values"] == {}
        assert set(scores[label]["missing"]) == set(QUANTITIES)
        assert "holds NaN or infinity" in scores[label]["missing"]["score"]
