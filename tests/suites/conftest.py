import pytest

from mergecast.suites.digits.recipe import DigitsRecipe
from mergecast.suites.run import run_suite

TASKS = ["upright", "parity", "noisy"]


@pytest.fixture(scope="session")
def tiny():
    """A recipe whose models learn almost nothing, in no time."""
    return DigitsRecipe.quick()


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tiny):
    """A finished tiny run, by one worker; read only."""
    folder = tmp_path_factory.mktemp("finished")
    return run_suite("digits-14", folder, only=TASKS, workers=1, recipe=tiny)
