import numpy as np
import pytest
from estimator_checks import expected_failures
from sklearn.utils.estimator_checks import parametrize_with_checks

from mergecast.forecast.estimators.learners import (
    SmallNetwork,
    extra_trees,
    power_ridge,
    small_network,
)
from mergecast.forecast.training import training_rows


@pytest.mark.filterwarnings("ignore:Skipping check:UserWarning")
@parametrize_with_checks(
    [SmallNetwork(n_steps=100), small_network(n_steps=100), extra_trees(10), power_ridge()],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_accepts_them(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [small_network(), extra_trees(30), power_ridge()])
def test_a_metric_that_decides_is_found(estimator, make_suite):
    rows = training_rows(*make_suite("metric", n_tasks=10))["ties"]
    first = (rows.groups == "t00").any(axis=1)
    fitted = estimator.fit(rows.X[~first], rows.y[~first])
    assert np.corrcoef(fitted.predict(rows.X[first]), rows.y[first])[0, 1] > 0.8


@pytest.mark.parametrize("make", [small_network, extra_trees])
def test_seeds_decide(make, make_suite):
    rows = training_rows(*make_suite("metric"))["ties"]
    first, again, other = (
        make(random_state=seed).fit(rows.X, rows.y).predict(rows.X) for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
