import pytest
import torch

from mergecast.errors import UndefinedError
from mergecast.suites.digits.suite import Digits, DigitsRecipe

RECIPE = DigitsRecipe(base_steps=15, head_steps=30, steps=15, n_test=400, depth=1)
SUITE = Digits()


@pytest.fixture(scope="module")
def trained():
    base = SUITE.base(RECIPE, 0)
    head = SUITE.head(RECIPE, 0, "parity", base)
    return base, head, SUITE.fine_tune(RECIPE, 0, "parity", base, head)


def test_fine_tuning_improves_on_the_probe_and_the_probe_on_the_majority(trained):
    base, head, encoder = trained
    size = SUITE.task_size(RECIPE, "parity")
    probe = SUITE.evaluate(RECIPE, "parity", base, head)
    tuned = SUITE.evaluate(RECIPE, "parity", encoder, head)
    assert size.majority < probe.score < tuned.score
    assert tuned.loss < probe.loss
    assert probe.probability < tuned.probability
    assert tuned.n_eval == size.n_eval == 400


def test_base_and_model_share_every_encoder_parameter_and_the_head_is_apart(trained):
    base, head, encoder = trained
    assert {n: v.shape for n, v in base.items()} == {n: v.shape for n, v in encoder.items()}
    assert {n: tuple(v.shape) for n, v in head.items()} == {
        "head.weight": (2, 64),
        "head.bias": (2,),
    }
    assert all(bool((encoder[name] != base[name]).any()) for name in base)


def test_training_depends_on_seed_and_task_and_on_no_global_state(trained):
    base, head, encoder = trained
    torch.manual_seed(99)
    again = SUITE.fine_tune(RECIPE, 0, "parity", base, head)
    other = SUITE.fine_tune(RECIPE, 1, "parity", base, head)
    assert all(torch.equal(again[name], encoder[name]) for name in encoder)
    assert not torch.equal(other["position"], encoder["position"])
    assert torch.equal(SUITE.base(RECIPE, 0)["position"], base["position"])


def test_a_diverged_model_has_no_score(trained):
    base, head, _ = trained
    broken = {**base, "norm.weight": torch.full_like(base["norm.weight"], float("inf"))}
    with pytest.raises(UndefinedError, match="task 'parity': the model's output is not finite"):
        SUITE.evaluate(RECIPE, "parity", broken, head)
