import numpy as np
import pytest
import torch
from torch.nn import functional

from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import UndefinedError
from mergecast.evidence.interference.collect import collect_interference
from mergecast.evidence.interference.curvature import layer_moments, per_sample_gradients
from mergecast.evidence.interference.measure import measure
from mergecast.evidence.retention.collect import MergeBench
from mergecast.evidence.settings import MergeSettings
from mergecast.tasks.probe import Probe
from mergecast.tasks.task import Samples
from tiny_models import CLASSES, Net, tiny_family, tiny_probed, tiny_states, tiny_tasks

SETTINGS = MergeSettings(samples=9)
SHARED = ("down.bias", "down.weight", "up.bias", "up.weight")


def task_vector(label: str) -> dict[str, torch.Tensor]:
    states = tiny_states()
    return {name: (states[label][name] - states["base"][name]).double() for name in SHARED}


def losses(label: str, moved: dict[str, torch.Tensor], size: float) -> torch.Tensor:
    """Per-sample losses of a model moved by ``size * moved``, float64."""
    net = Net().double().eval()
    state = {name: value.double() for name, value in tiny_states()[label].items()}
    net.load_state_dict({n: v + size * moved[n] if n in moved else v for n, v in state.items()})
    samples = tiny_tasks()[label].samples(9, 0)
    with torch.no_grad():
        logits = net(samples.inputs["x"].double())
    return functional.cross_entropy(logits, samples.labels, reduction="none")


def directional(label: str, moved: dict[str, torch.Tensor]) -> torch.Tensor:
    """Central difference of the per-sample losses along `moved`."""
    step = 1e-5
    return (losses(label, moved, step) - losses(label, moved, -step)) / (2 * step)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    probed = tiny_probed(tmp_path_factory.mktemp("interference"))
    return collect_interference(
        probed, methods=["weight_avg", "task_arithmetic", "ties"], settings=SETTINGS
    )


@pytest.mark.parametrize(("method", "scale"), [("weight_avg", 0.5), ("task_arithmetic", 0.3)])
def test_first_order_is_the_derivative_of_the_loss_along_the_scaled_task_vector(
    found, method, scale
):
    slope = directional("a", task_vector("b")).mean()
    # Gradients are float32, differences of float64 losses: five digits.
    assert found.entry(f"first_order/{method}", "a", "b") == pytest.approx(
        scale * float(slope), rel=1e-5
    )


def test_fisher_is_the_mean_squared_derivative_of_the_samples_losses(found):
    slopes = directional("c", task_vector("a"))
    assert found.entry("fisher", "c", "a") == pytest.approx(float(slopes.square().mean()), rel=1e-5)


def test_the_diagonal_form_squares_every_entry_by_itself(found):
    task = tiny_tasks()["a"]
    samples = task.samples(9, 0)
    total = 0.0
    for x, label in zip(samples.inputs["x"], samples.labels, strict=True):
        net = Net()
        net.load_state_dict(tiny_states()["a"])
        functional.cross_entropy(net(x[None]), label[None]).backward()
        for name, delta in task_vector("b").items():
            gradient = net.get_parameter(name).grad.double()
            total += float((gradient.square() * delta.square()).sum()) / len(samples)
    assert found.entry("fisher_diagonal", "a", "b") == pytest.approx(total, rel=1e-5)


def test_moved_is_what_the_partners_update_does_to_the_layers_outputs(found):
    own = tiny_states()["a"]
    x = tiny_tasks()["a"].samples(9, 0).inputs["x"].double()
    hidden = torch.tanh(x @ own["up.weight"].T.double() + own["up.bias"].double())
    delta = task_vector("b")
    up, down = x @ delta["up.weight"].T, hidden @ delta["down.weight"].T
    expected = float((up.square().sum(1) + down.square().sum(1)).mean())
    assert found.entry("moved", "a", "b") == pytest.approx(expected, rel=1e-5)
    mine = task_vector("a")
    along = (up * (x @ mine["up.weight"].T)).sum(1)
    along = along + (down * (hidden @ mine["down.weight"].T)).sum(1)
    assert found.entry("along", "a", "b") == pytest.approx(float(along.mean()), rel=1e-5)


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
    assert float((moments.curvature - expected).abs().max()) < 0.1 * float(expected.abs().max())


def test_displacement_is_the_quadratic_form_at_the_fine_tuned_weights(tmp_path):
    probed = tiny_probed(tmp_path)
    found = collect_interference(probed, methods=["weight_avg"], settings=SETTINGS)
    task = tiny_tasks()["a"]
    layers = layer_moments(Probe(task), tiny_states()["a"], task.samples(9, 0), SHARED, seed=0)
    own, other = task_vector("a"), task_vector("b")
    expected = 0.0
    for name, moments in layers.items():
        moved = 0.5 * own[name] + 0.5 * other[name] - own[name]
        expected += float(torch.trace(moments.curvature @ moved @ moments.inputs @ moved.T))
    assert found.entry("displacement/weight_avg", "a", "b") == pytest.approx(expected, rel=1e-5)


def test_energy_and_conflict_by_hand(tmp_path):
    states = tiny_states("abc")
    e = torch.eye(6)
    updates = {
        "a": torch.outer(e[0], e[0, :5]),
        "b": torch.outer(e[1], 0.6 * e[0, :5] + 0.8 * e[1, :5]),
        "c": -torch.outer(e[0], e[0, :5]),
    }
    for label, state in states.items():
        state.update({n: states["base"][n].clone() for n in SHARED})
        if label in updates:
            state["up.weight"] += updates[label]
        write_safetensors(tmp_path / f"{label}.safetensors", state)
    found = collect_interference(tiny_probed(tmp_path), settings=SETTINGS, gradients=False)
    at = {label: i for i, label in enumerate(found.members)}
    right, left = (found.energies[side] for side in ("right", "left"))
    assert np.nanmax(right[:, at["a"], at["b"]]) == pytest.approx(0.36, abs=1e-5)
    assert np.nanmax(left[:, at["a"], at["b"]]) == pytest.approx(0, abs=1e-5)
    assert np.nanmax(right[:, at["b"], at["a"]]) == pytest.approx(0.36, abs=1e-5)
    assert found.entry("conflict", "a", "c") == pytest.approx(1, abs=1e-5)
    assert found.entry("conflict", "a", "b") == pytest.approx(0, abs=1e-5)


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
    assert float(((matrix @ found["0.weight"].inputs) * matrix).sum()) == pytest.approx(
        expected, rel=1e-5
    )
    inside = conv(images).detach()
    delta = torch.randn_like(same.weight)
    moved = functional.conv2d(inside, delta, padding="same").double()
    matrix = delta.double().reshape(2, -1)
    assert float(((matrix @ found["1.weight"].inputs) * matrix).sum()) == pytest.approx(
        float(moved.square().sum(1).mean()), rel=1e-5
    )


def test_the_order_of_models_changes_nothing(tmp_path, found):
    methods = ["ties", "task_arithmetic", "weight_avg"]
    other = collect_interference(
        tiny_probed(tmp_path, order="cab"), methods=methods, settings=SETTINGS
    )
    assert other.members == found.members
    assert set(other.sums) == set(found.sums)
    for name, values in found.sums.items():
        np.testing.assert_array_equal(other.sums[name], values)


def test_without_gradients_the_rest_is_the_same_and_they_say_why(tmp_path, found):
    other = collect_interference(tiny_probed(tmp_path), settings=SETTINGS, gradients=False)
    for name in ("moved", "along", "conflict", "input_similarity"):
        np.testing.assert_array_equal(other.sums[name], found.sums[name])
    with pytest.raises(UndefinedError, match="not asked for"):
        other.entry("fisher", "a", "b")


def test_without_labels_only_what_needs_labels_is_missing(tmp_path):
    found = collect_interference(
        tiny_probed(tmp_path, labelled=False), methods=["tsv"], settings=SETTINGS
    )
    for name in ("fisher", "fisher_diagonal", "first_order/tsv"):
        with pytest.raises(UndefinedError, match="no labels"):
            found.entry(name, "a", "b")
    assert found.entry("displacement/tsv", "a", "b") > 0


def test_small_groups_of_samples_give_the_same_products(tmp_path, monkeypatch):
    whole = measure(MergeBench(tiny_probed(tmp_path), SETTINGS), "a")
    monkeypatch.setattr("mergecast.evidence.interference.measure.GRADIENT_BUDGET", 1)
    parts = measure(MergeBench(tiny_probed(tmp_path), SETTINGS), "a")
    assert bool((whole.fisher > 0).all())
    torch.testing.assert_close(parts.fisher, whole.fisher, rtol=1e-6, atol=0)
    torch.testing.assert_close(parts.fisher_diagonal, whole.fisher_diagonal, rtol=1e-6, atol=0)


def test_hooks_are_gone_after_a_failure():
    task = tiny_tasks()["a"]
    probe = Probe(task)
    wrong = Samples({"x": torch.zeros(2, 99)}, None, ("p", "q"))
    with pytest.raises(Exception, match="does not take"):
        layer_moments(probe, tiny_states()["a"], wrong, SHARED)
    assert all(not module._forward_hooks for module in probe.module.modules())


def test_a_loss_that_is_not_finite_names_the_sample():
    task = tiny_tasks()["a"]
    state = tiny_states()["a"]
    state["head.bias"] = torch.full_like(state["head.bias"], torch.inf)
    with pytest.raises(UndefinedError, match="loss of sample 'a/0'"):
        list(per_sample_gradients(Probe(task), state, task.samples(3, 0), SHARED))


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
        assert torch.equal(found[1][name].curvature, moments.curvature)
        assert torch.equal(found[1][name].inputs, moments.inputs)
        assert found[1][name].output_energy == moments.output_energy


def test_wide_layers_cost_about_what_they_cost_exactly(tmp_path, monkeypatch):
    exact = collect_interference(tiny_probed(tmp_path), methods=["tsv"], settings=SETTINGS)
    monkeypatch.setattr("mergecast.evidence.interference.measure.SKETCH", 5)
    found = collect_interference(tiny_probed(tmp_path), methods=["tsv"], settings=SETTINGS)
    ratios = found.sums["displacement/tsv"] / exact.sums["displacement/tsv"]
    # Five signed sums for 9 inputs and 72 rows of curvature: within a factor, not more.
    assert 0.3 < float(np.median(ratios)) < 3
    np.testing.assert_array_equal(found.sums["fisher"], exact.sums["fisher"])


def test_a_model_without_finite_outputs_is_missing_with_its_reason(tmp_path):
    probed = tiny_probed(tmp_path)
    samples = probed.tasks["b"].samples(9, 0)
    samples.inputs["x"][3] = torch.nan
    probed.tasks["b"].samples = lambda *_: samples
    found = collect_interference(probed, methods=["weight_avg"], settings=SETTINGS)
    for name in ("moved", "along", "fisher", "first_order/weight_avg", "displacement/weight_avg"):
        with pytest.raises(UndefinedError, match=r"sample b/3|'b/3'"):
            found.entry(name, "b", "a")
        assert np.isfinite(found.entry(name, "a", "b"))
    for pair in (("a", "b"), ("b", "a")):
        with pytest.raises(UndefinedError, match="sample b/3"):
            found.entry("input_similarity", *pair)
    assert found.entry("input_similarity", "a", "c") > 0
