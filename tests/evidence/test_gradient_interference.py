"""Gradient interference against derivatives of the losses and the quadratic forms themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from mergecast.errors import UndefinedError
from mergecast.evidence import MergeSettings
from mergecast.evidence.gradients import collect as gradients
from mergecast.evidence.gradients.fisher import fisher, per_sample_gradients
from mergecast.evidence.gradients.interference import collect
from mergecast.evidence.inputs.moments import layer_moments
from mergecast.tasks.probe import Probe
from mergecast.testing.tiny import Net, tiny_states, tiny_tasks
from tiny_models import curvature_of, inputs_of, tiny_session

SHARED = ("down.bias", "down.weight", "up.bias", "up.weight")


def by(*methods):
    return MergeSettings(samples=9, methods=methods)


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
    folder = tmp_path_factory.mktemp("interference")
    return collect(tiny_session(folder, merges=by("weight_avg", "task_arithmetic", "ties")))


@pytest.mark.parametrize(("method", "scale"), [("weight_avg", 0.5), ("task_arithmetic", 0.3)])
def test_first_order_is_the_derivative_of_the_loss_along_the_scaled_task_vector(
    found, method, scale
):
    slope = directional("a", task_vector("b")).mean()
    # Gradients are float32, differences of float64 losses: five digits.
    assert found.value("a", "b", "first_order", method) == pytest.approx(
        scale * float(slope), rel=1e-5
    )


def test_fisher_is_the_mean_squared_derivative_of_the_samples_losses(found):
    slopes = directional("c", task_vector("a"))
    assert found.value("c", "a", "fisher") == pytest.approx(float(slopes.square().mean()), rel=1e-5)


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
    assert found.value("a", "b", "fisher_diagonal") == pytest.approx(total, rel=1e-5)


def test_displacement_is_the_quadratic_form_at_the_fine_tuned_weights(tmp_path):
    found = collect(tiny_session(tmp_path, merges=by("weight_avg")))
    task = tiny_tasks()["a"]
    layers = layer_moments(Probe(task), tiny_states()["a"], task.samples(9, 0), SHARED, seed=0)
    own, other = task_vector("a"), task_vector("b")
    expected = 0.0
    for name, moments in layers.items():
        moved = 0.5 * own[name] + 0.5 * other[name] - own[name]
        expected += float(torch.trace(curvature_of(moments) @ moved @ inputs_of(moments) @ moved.T))
    assert found.value("a", "b", "displacement", "weight_avg") == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_is_not_finite_names_the_sample():
    task = tiny_tasks()["a"]
    state = tiny_states()["a"]
    state["head.bias"] = torch.full_like(state["head.bias"], torch.inf)
    with pytest.raises(UndefinedError, match="loss of sample 'a/0'"):
        list(per_sample_gradients(Probe(task), state, task.samples(3, 0), SHARED))


def test_the_order_of_models_changes_nothing(tmp_path, found):
    merges = by("ties", "task_arithmetic", "weight_avg")
    assert collect(tiny_session(tmp_path, order="cab", merges=merges)) == found


def test_without_labels_only_what_needs_labels_is_missing(tmp_path):
    found = collect(tiny_session(tmp_path, labelled=False, merges=by("tsv")))
    for name in (("fisher",), ("fisher_diagonal",), ("first_order", "tsv")):
        with pytest.raises(UndefinedError, match="no labels"):
            found.value("a", "b", *name)
    assert found.value("a", "b", "displacement", "tsv") > 0


def test_small_groups_of_samples_give_the_same_products(tmp_path, monkeypatch):
    def of_a():
        session = tiny_session(tmp_path, merges=by("ties"))
        return fisher(session, session.family, "a")

    whole = of_a()
    monkeypatch.setattr("mergecast.evidence.gradients.fisher.GRADIENT_BUDGET", 1)
    parts = of_a()
    assert bool((whole[0] > 0).all())
    for part, full in zip(parts, whole, strict=True):
        torch.testing.assert_close(part, full, rtol=1e-6, atol=0)


def test_wide_layers_cost_about_what_they_cost_exactly(tmp_path, monkeypatch):
    exact = collect(tiny_session(tmp_path, merges=by("tsv"))).values
    monkeypatch.setattr("mergecast.evidence.gradients.curvature.SKETCH", 5)
    found = collect(tiny_session(tmp_path, merges=by("tsv"))).values
    costs = [key for key in exact if "displacement" in key]
    # Five signed sums for 9 inputs and 72 rows of curvature: within a factor, not more.
    assert 0.3 < float(np.median([found[key] / exact[key] for key in costs])) < 3
    assert all(found[key] == exact[key] for key in exact if key not in costs)


def test_a_model_without_finite_outputs_is_missing_with_its_reason(tmp_path):
    session = tiny_session(tmp_path, merges=by("weight_avg"))
    samples = session.task("b").samples(9, 0)
    samples.inputs["x"][3] = torch.nan
    session.task("b").samples = lambda *_: samples
    found = collect(session)
    for name in (("fisher",), ("first_order", "weight_avg"), ("displacement", "weight_avg")):
        with pytest.raises(UndefinedError, match=r"sample b/3|'b/3'"):
            found.value("b", "a", *name)
        assert np.isfinite(found.value("a", "b", *name))


def test_gradients_are_those_of_the_gradient_metrics(tmp_path):
    session = tiny_session(tmp_path, merges=MergeSettings(methods=("ties",)))
    gradients.collect(session)
    files = sorted((session.store.folder / "gradients").iterdir())
    collect(session)
    assert sorted((session.store.folder / "gradients").iterdir()) == files
