import pytest

from synthetic_suite import build_suite


@pytest.fixture
def make_suite():
    return build_suite
