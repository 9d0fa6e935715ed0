"""Looks at merges while a model changes: as merges by hand, within their time, and never fatal."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

import mergecast as mc
from mergecast.errors import FamilyError, UndefinedError, UsageError
from mergecast.runtime import allowance as allowance_module
from mergecast.search import partners as partners_module
from mergecast.tasks.task import Samples
from mergecast.testing.tiny import Net, TinyTask, tiny_family, tiny_states, tiny_tasks

SAMPLES = 48  # a whole number of the blocks that the tiny task draws: fewer are the first of more


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only where a test says so."""
    now = [0.0]
    monkeypatch.setattr(allowance_module, "perf_counter", lambda: now[0])
    return now


@pytest.fixture
def family(tmp_path):
    return tiny_family(tmp_path)


def network(label="a"):
    net = Net()
    net.load_state_dict(tiny_states(label)[label])
    return net


def monitor_of(family, partners="bc", tasks=None, **options):
    models = {x: family.models[x] for x in partners}
    given = {"tasks": tasks or tiny_tasks("a" + partners), "calibration": SAMPLES, "every": 10}
    return mc.RetentionMonitor(family.base, models, **(given | options))


def train(monitor, net, clock, steps, seconds=1.0):
    """Steps that each take some seconds; what was logged, by step."""
    seen = {}
    for step in range(1, steps + 1):
        clock[0] += seconds
        values = monitor.step(step, net)
        if values:
            seen[step] = values
    return seen


@pytest.mark.parametrize("recipe", ["weight_avg", "ties(density=0.5, scaling=1)"])
def test_a_look_is_the_merge_itself(family, clock, recipe):
    monitor = monitor_of(family, recipe=recipe)
    net = network()
    monitor.begin(net)
    values = train(monitor, net, clock, 10)[10]
    for partner in "bc":
        pair = family.subset(["a", partner]).without("head.*")
        expected = mc.forecast_merge(
            pair, recipe=recipe, tasks=tiny_tasks("a" + partner), calibration=SAMPLES
        ).kept.set_index("model")
        rows = monitor.history[monitor.history["partner"] == partner].set_index("model")
        columns = ["kept", "lower", "upper", "own"]
        np.testing.assert_allclose(rows.loc[["a", partner], columns], expected[columns])
        assert values[f"merge_retention/{partner}"] == pytest.approx(expected["kept"]["a"])
        assert values[f"partner_retention/{partner}"] == pytest.approx(expected["kept"][partner])
    assert values["merge_retention_overhead"] == 0.0
    assert "looks: 1" in repr(monitor)
    assert "The last look" in monitor._repr_html_()


def test_the_model_is_seen_as_it_is_now_and_left_as_it_is(family, clock):
    monitor = monitor_of(family, "b")
    net = network()
    monitor.begin(net)
    net.train()
    first = train(monitor, net, clock, 10)[10]
    with torch.no_grad():
        for value in net.parameters():
            value.mul_(0.3)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    clock[0] += 10
    second = monitor.step(20, net)
    assert second["merge_retention/b"] != first["merge_retention/b"]
    assert torch.equal(state, torch.get_rng_state())
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(value.grad is None for value in net.parameters())


def test_looks_keep_to_their_share_of_the_time(family, clock, monkeypatch):
    """Looks of 2 s after 3 s of preparation: at 5 % the first after 100 s, then one every 40."""
    monitor = monitor_of(family, "b", every=1)
    reference = partners_module.PartnerMerges.reference

    def slow(self, label, checkpoint):
        clock[0] += 2.0 if label == "a" else 1.0
        return reference(self, label, checkpoint)

    monkeypatch.setattr(partners_module.PartnerMerges, "reference", slow)
    net = network()
    monitor.begin(net)
    assert clock[0] == 3.0
    seen = train(monitor, net, clock, 400)
    assert list(seen)[:3] == [100, 140, 180]
    training, looks = 400.0, 3.0 + 2.0 * len(seen)
    assert clock[0] == training + looks
    assert looks / training <= 0.05
    assert all(one["merge_retention_overhead"] <= 0.05 + 1e-9 for one in seen.values())


def test_no_more_looks_than_every_so_many_steps(family, clock):
    monitor = monitor_of(family, "b", every=7)
    net = network()
    monitor.begin(net, step=3)
    assert list(train(monitor, net, clock, 30)) == [10, 17, 24]
    assert "merge_retention/b" in monitor.end(30, net)
    assert monitor.end(30, net) == {}
    assert sorted(set(monitor.history["step"])) == [10, 17, 24, 30]


def test_a_training_too_short_for_a_look_is_said(family, clock, monkeypatch, caplog):
    monitor = monitor_of(family, "b")
    reference = partners_module.PartnerMerges.reference

    def slow(self, label, checkpoint):
        clock[0] += 3.0
        return reference(self, label, checkpoint)

    monkeypatch.setattr(partners_module.PartnerMerges, "reference", slow)
    net = network()
    monitor.begin(net)
    assert train(monitor, net, clock, 20) == {}
    with caplog.at_level(logging.WARNING):
        assert monitor.end(20, net) == {}
    assert "no look at merges: the training took 20.0 s, of which 5% is less than the 6.0 s" in (
        caplog.text
    )
    assert monitor.history.empty


def test_a_training_that_diverges_goes_on_and_the_reason_is_kept(family, clock, caplog):
    monitor = monitor_of(family, "b")
    net = network()
    monitor.begin(net)
    with torch.no_grad():
        net.up.weight[0, 0] = float("nan")
    with caplog.at_level(logging.WARNING):
        assert train(monitor, net, clock, 30) == {}
    row = monitor.history.iloc[0]
    assert np.isnan(row["kept"])
    assert "finite" in row["note"]
    assert len(monitor.history) == 3
    assert caplog.text.count("no merge retention") == 1


def test_a_model_that_knows_nothing_yet_may_be_trained(family, clock):
    class Hard(TinyTask):
        def samples(self, count, seed, split="calibration"):
            found = super().samples(count, seed, split)
            return Samples(found.inputs, torch.full_like(found.labels, 2), found.ids)

    tasks = {"a": Hard("a", private=("head.*",)), **tiny_tasks("b")}
    monitor = monitor_of(family, "b", tasks=tasks)
    net = network()
    with torch.no_grad():
        net.head.bias[:] = torch.tensor([100.0, 0.0, 0.0])  # never class 2
    monitor.begin(net)
    assert train(monitor, net, clock, 10) == {}
    assert "its score on its own task is 0" in monitor.history["note"][0]


def test_without_labels_it_is_the_share_of_own_answers(family, clock):
    tasks = tiny_tasks("ab", labelled=False)
    monitor = monitor_of(family, "b", tasks=tasks)
    net = network()
    monitor.begin(net)
    values = train(monitor, net, clock, 10)[10]
    assert 0 < values["merge_retention/b"] <= 1
    assert set(monitor.history["own"]) == {1.0}


def test_what_cannot_be_merged_is_an_error_before_the_first_step(family, clock):
    monitor = monitor_of(family, "b")
    with pytest.raises(FamilyError):
        monitor.begin(torch.nn.Linear(3, 2))
    with pytest.raises(UsageError, match="was not told that training began; call begin"):
        monitor_of(family, "b").step(1, network())


def test_a_partner_without_a_score_is_an_error_before_the_first_step(family, clock):
    class Silent(TinyTask):
        def score(self, logits, labels):
            return torch.zeros(len(labels), dtype=torch.float64)

    tasks = {**tiny_tasks("a"), "b": Silent("b", private=("head.*",))}
    monitor = monitor_of(family, "b", tasks=tasks)
    with pytest.raises(UndefinedError, match="model 'b': its score on its own task is 0"):
        monitor.begin(network())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"every": 0}, "every: is 0; give 1 or more steps"),
        ({"overhead": 0}, "overhead: is 0"),
        ({"tasks": None}, "tasks: not given"),
        ({"tasks": tiny_tasks("ab")}, "task of model 'c': unknown"),
        ({"tasks": tiny_tasks("bc")}, "tasks: are all of partners; say with label="),
        ({"tasks": tiny_tasks("abcd")}, "tasks: are a, d; say with label="),
        ({"label": "b"}, "task of the model in training 'b': unknown"),
        ({"recipe": "tie"}, "unknown; did you mean 'ties'"),
        ({"recipe": mc.Recipe("weight_avg", weights={"x": 1.0})}, "weight"),
    ],
)
def test_what_is_asked_is_checked_at_once(family, options, said):
    given = {"tasks": tiny_tasks("abc"), **options}
    models = {x: family.models[x] for x in "bc"}
    with pytest.raises(UsageError, match=said):
        mc.RetentionMonitor(family.base, models, **given)
