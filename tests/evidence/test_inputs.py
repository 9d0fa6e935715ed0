"""What a partner's update moves in a model's layers, against plain matrix products."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from mergecast.errors import UndefinedError
from mergecast.evidence import MergeSettings
from mergecast.evidence.inputs.collect import collect
from mergecast.evidence.inputs.moments import layer_moments
from mergecast.tasks.probe import Probe
from mergecast.tasks.task import Samples
from mergecast.testing.tiny import CLASSES, Net, tiny_family, tiny_states, tiny_tasks
from tiny_models import curvature_of, inputs_of, tiny_session

MERGES = MergeSettings(samples=9)
SHARED = ("down.bias", "down.weight", "up.bias", "up.weight")


def task_vector(label: str) -> dict[str, torch.Tensor]:
    states = tiny_states()
    return {name: (states[label][name] - states["base"][name]).double() for name in SHARED}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return collect(tiny_session(tmp_path_factory.mktemp("inputs"), merges=MERGES))


def test_moved_is_what_the_partners_update_does_to_the_layers_outputs(found):
    own = tiny_states()["a"]
    x = tiny_tasks()["a"].samples(9, 0).inputs["x"].double()
    hidden = torch.tanh(x @ own["up.weight"].T.double() + own["up.bias"].double())
    delta = task_vector("b")
    up, down = x @ delta["up.weight"].T, hidden @ delta["down.weight"].T
    expected = float((up.square().sum(1) + down.square().sum(1)).mean())
    assert found.value("a", "b", "moved") == pytest.approx(expected, rel=1e-5)
    mine = task_vector("a")
    along = (up * (x @ mine["up.weight"].T)).sum(1)
    along = along + (down * (hidden @ mine["down.weight"].T)).sum(1)
    assert found.value("a", "b", "along") == pytest.approx(float(along.mean()), rel=1e-5)


def test_output_curvature_converges_to_the_gauss_newton_matrix(tmp_path):
    task = tiny_tasks()["a"]
    samples, state = task.samples(9, 0), tiny_states()["a"]
    moments = layer_moments(Probe(task), state, samples, SHARED, draws=400)["down.weight"]
    net = Net()
    net.load_state_dict(state)
    p = net(samples.inputs["x"]).detach().softmax(1).double()
    inner = torch.diag(p.mean(0)) - p.T @ p / len(p)
    head = state["head.weight"].double()
    expected = head.T @ inner @ head
    # 9 samples with 400 random signs each: about 3 % of the largest entry.
    assert float((curvature_of(moments) - expected).abs().max()) < 0.1 * float(expected.abs().max())


def test_convolutions_multiply_their_patches():
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1, dilation=1)
    same = torch.nn.Conv2d(4, 2, (3, 5), padding="same")
    flat = torch.nn.Flatten()
    head = torch.nn.Linear(2 * 3 * 3, CLASSES)
    net = torch.nn.Sequential(conv, same, flat, head)
    task = tiny_tasks()["a"]
    probe = Probe(task, module=net)
    images = torch.randn(5, 3, 6, 6)
    samples = Samples({"input": images}, None, tuple("abcde"))
    state = {name: value.detach() for name, value in net.state_dict().items()}
    found = layer_moments(probe, state, samples, ("0.weight", "1.weight"), draws=1)
    delta = torch.randn_like(conv.weight)
    moved = functional.conv2d(images, delta, stride=2, padding=1).double()
    matrix = delta.double().reshape(4, -1)
    expected = float(moved.square().sum(1).mean())
    assert float(((matrix @ inputs_of(found["0.weight"])) * matrix).sum()) == pytest.approx(
        expected, rel=1e-5
    )
    inside = conv(images).detach()
    delta = torch.randn_like(same.weight)
    moved = functional.conv2d(inside, delta, padding="same").double()
    matrix = delta.double().reshape(2, -1)
    assert float(((matrix @ inputs_of(found["1.weight"])) * matrix).sum()) == pytest.approx(
        float(moved.square().sum(1).mean()), rel=1e-5
    )


def test_hooks_are_gone_after_a_failure():
    task = tiny_tasks()["a"]
    probe = Probe(task)
    wrong = Samples({"x": torch.zeros(2, 99)}, None, ("p", "q"))
    with pytest.raises(Exception, match="does not take"):
        layer_moments(probe, tiny_states()["a"], wrong, SHARED)
    assert all(not module._forward_hooks for module in probe.module.modules())


def test_stored_weights_are_not_touched(tmp_path):
    family = tiny_family(tmp_path)
    before = {n: v.clone() for n, v in tiny_states()["a"].items()}
    probe, task = Probe(tiny_tasks()["a"]), tiny_tasks()["a"]
    state = dict(tiny_states()["a"])
    layer_moments(probe, state, task.samples(4, 0), family.shared)
    for name, value in state.items():
        assert torch.equal(value, before[name])
        assert not value.requires_grad


def test_activations_that_work_in_place_change_nothing():
    task, state = tiny_tasks()["a"], tiny_states()["a"]
    samples = task.samples(5, 0)
    found = []
    for inplace in (False, True):
        net = Net()
        net.norm = torch.nn.ReLU(inplace=inplace)
        probe = Probe(task, module=net)
        found.append(layer_moments(probe, state, samples, SHARED, draws=2))
    for name, moments in found[0].items():
        assert torch.equal(curvature_of(found[1][name]), curvature_of(moments))
        assert torch.equal(inputs_of(found[1][name]), inputs_of(moments))
        assert found[1][name].output_energy == moments.output_energy


def test_the_order_of_models_changes_nothing(tmp_path, found):
    assert collect(tiny_session(tmp_path, order="cab", merges=MERGES)) == found


def test_without_labels_nothing_changes(tmp_path, found):
    assert collect(tiny_session(tmp_path, labelled=False, merges=MERGES)) == found


def test_a_model_without_finite_outputs_is_missing_with_its_reason(tmp_path):
    session = tiny_session(tmp_path, merges=MERGES)
    samples = session.task("b").samples(9, 0)
    samples.inputs["x"][3] = torch.nan
    session.task("b").samples = lambda *_: samples
    found = collect(session)
    for name in ("moved", "along"):
        with pytest.raises(UndefinedError, match="sample b/3"):
            found.value("b", "a", name)
        assert found.value("a", "b", name) != 0
    for pair in (("a", "b"), ("b", "a")):
        with pytest.raises(UndefinedError, match="sample b/3"):
            found.value(*pair, "input_similarity")
    assert found.value("a", "c", "input_similarity") > 0
