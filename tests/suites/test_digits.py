import pytest
import torch

from mergecast.suites.digits.recipe import DigitsRecipe
from mergecast.suites.digits.suite import Digits
from mergecast.suites.digits.training import linear_probe
from mergecast.tasks.measure import majority, measure
from mergecast.tasks.probe import Probe

RECIPE = DigitsRecipe(base_steps=15, head_steps=30, steps=15, n_test=400, depth=1)
SUITE = Digits()


@pytest.fixture(scope="module")
def trained():
    base = SUITE.base(RECIPE, 0)
    return base, SUITE.fine_tune(RECIPE, 0, "parity", base)


def on_parity(state):
    probe = Probe(SUITE.task(RECIPE, "parity"))
    probe.load(state)
    return measure(probe, probe.task.samples(None, 0, "test"))


def test_fine_tuning_improves_on_the_probe_and_the_probe_on_the_majority(trained):
    base, model = trained
    probe = on_parity({**base, **linear_probe(RECIPE, "parity", base)})
    tuned = on_parity(model)
    commonest = majority(SUITE.task(RECIPE, "parity").samples(None, 0, "test").labels)
    assert commonest < probe.values["score"] < tuned.values["score"]
    assert tuned.values["loss"] < probe.values["loss"]
    assert probe.values["probability"] < tuned.values["probability"]
    assert (tuned.n_eval, tuned.n_classes) == (400, 2)


def test_base_and_model_share_every_encoder_parameter_and_the_head_is_apart(trained):
    base, model = trained
    head = {name: value for name, value in model.items() if name not in base}
    assert {n: tuple(v.shape) for n, v in head.items()} == {
        "head.weight": (2, 64),
        "head.bias": (2,),
    }
    assert all(model[name].shape == value.shape for name, value in base.items())
    assert all(bool((model[name] != base[name]).any()) for name in base)
    for name, value in linear_probe(RECIPE, "parity", base).items():
        assert torch.equal(value, head[name])  # probed first, then frozen


def test_training_depends_on_seed_and_task_and_on_no_global_state(trained):
    base, model = trained
    torch.manual_seed(99)
    again = SUITE.fine_tune(RECIPE, 0, "parity", base)
    other = SUITE.fine_tune(RECIPE, 1, "parity", base)
    assert all(torch.equal(again[name], model[name]) for name in model)
    assert not torch.equal(other["position"], model["position"])
    assert torch.equal(SUITE.base(RECIPE, 0)["position"], base["position"])


def test_a_diverged_model_has_no_score(trained):
    _, model = trained
    broken = {**model, "norm.weight": torch.full_like(model["norm.weight"], float("inf"))}
    said = "task 'parity': the model's output is not finite"
    assert on_parity(broken).missing["score"] == said


def test_all_test_images_make_one_forward_pass():
    task = SUITE.task(RECIPE, "parity")
    assert task.batch_size == task.size("test") == 400
