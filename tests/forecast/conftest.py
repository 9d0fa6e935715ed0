import pytest

from mergecast.forecast.forecaster import Forecaster
from synthetic_suite import build_suite


@pytest.fixture
def make_suite():
    return build_suite


@pytest.fixture(scope="module")
def seven_tasks():
    return build_suite("metric", n_tasks=7, methods=("dare", "ties"))


@pytest.fixture(scope="module")
def forecaster(seven_tasks):
    return Forecaster.fit(*seven_tasks)


@pytest.fixture
def new_pairs(make_suite):
    return make_suite("metric", n_tasks=3, seed=9, suite="")[0]
