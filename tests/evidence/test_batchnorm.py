import pytest
import torch

from mergecast.evidence import MergeSettings
from mergecast.evidence.retention.batchnorm import reestimated
from mergecast.evidence.retention.collect import collect
from mergecast.tasks.probe import Probe
from mergecast.testing.tiny import tiny_states, tiny_tasks
from tiny_models import tiny_session


def test_running_statistics_are_those_of_the_samples_and_nothing_else_changes(tmp_path):
    session = tiny_session(tmp_path, batchnorm=True)
    task = tiny_tasks(batchnorm=True)["a"]
    probe, samples = Probe(task), task.samples(20, 0)
    parameters = session.state("a")
    before = {name: value.clone() for name, value in parameters.items()}
    found = reestimated(probe, parameters, samples, batch_size=20)
    inside = samples.inputs["x"] @ parameters["up.weight"].T + parameters["up.bias"]
    torch.testing.assert_close(found["norm.running_mean"], inside.mean(0))
    torch.testing.assert_close(found["norm.running_var"], inside.var(0))
    for name, value in parameters.items():
        assert torch.equal(value, before[name])
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(found[name], value)
    assert probe.module.norm.momentum == 0.1


def test_batches_are_averaged_and_a_single_last_sample_is_not_alone(tmp_path):
    session = tiny_session(tmp_path, batchnorm=True)
    task = tiny_tasks(batchnorm=True)["a"]
    probe, samples = Probe(task), task.samples(9, 0)
    found = reestimated(probe, session.state("a"), samples, batch_size=4)
    state = tiny_states(batchnorm=True)["a"]
    inside = samples.inputs["x"] @ state["up.weight"].T + state["up.bias"]
    means = torch.stack([part.mean(0) for part in inside.split(3)])
    torch.testing.assert_close(found["norm.running_mean"], means.mean(0))


def test_the_option_is_reported_and_changes_what_is_probed(tmp_path):
    session = tiny_session(tmp_path, batchnorm=True)
    values = {}
    for again in (False, True):
        session.merges = MergeSettings(
            samples=16, methods=("weight_avg",), partners=("base",), reestimate_batchnorm=again
        )
        found = collect(session)
        values[found.note] = found.value("a", "weight_avg", "base", "overlap_unlabelled")
    assert list(values) == [
        "running statistics as merged",
        "running statistics re-estimated on 16 samples a task",
    ]
    assert len(set(values.values())) == 2
    (tmp_path / "plain").mkdir()
    assert collect(tiny_session(tmp_path / "plain", merges=session.merges)).note == ""


def test_a_model_without_batchnorm_is_left_as_it_is(tmp_path):
    session, task = tiny_session(tmp_path), tiny_tasks()["a"]
    found = reestimated(Probe(task), session.state("a"), task.samples(4, 0))
    for name, value in session.state("a").items():
        assert found[name] == pytest.approx(value)
