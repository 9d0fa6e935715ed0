import math

import numpy as np
import pytest

from mergecast.forecast.intervals import conformal_half_width
from mergecast.forecast.validation.evaluate import evaluate


@pytest.mark.parametrize(("n", "rank"), [(9, 9), (19, 18), (99, 90), (100, 91)])
def test_the_rank_is_the_finite_sample_one(n, rank):
    assert conformal_half_width(np.arange(1.0, n + 1), 0.9) == rank


def test_too_few_residuals_give_an_infinite_interval_not_a_narrow_one():
    assert conformal_half_width(np.ones(8), 0.9) == math.inf
    assert conformal_half_width([], 0.5) == math.inf


def test_exchangeable_residuals_are_covered_at_the_nominal_level():
    generator = np.random.default_rng(0)
    hits = []
    for _ in range(2000):
        residuals = np.abs(generator.standard_t(3, size=30))
        hits.append(residuals[-1] <= conformal_half_width(residuals[:-1], 0.9))
    # 27/30 exactly in expectation; three standard errors of 2000 draws.
    assert np.mean(hits) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("cause", ["metric", "additive", "noise"])
def test_intervals_for_two_unseen_tasks_cover_about_nine_tenths(cause, make_suite):
    covered = [
        evaluate(*make_suite(cause, n_tasks=9, seed=seed), "l2to", ["lasso"])
        .results.set_index("predictor")
        .loc["lasso", "coverage"]
        for seed in range(3)
    ]
    assert 0.83 <= np.mean(covered) <= 0.97


def test_intervals_of_few_tasks_are_all_that_retention_can_be(make_suite):
    predictions = evaluate(*make_suite(n_tasks=4), "l2to", ["constant"]).predictions
    assert (predictions["upper"] == 1).all()
    assert (predictions["lower"] == 0).all()
