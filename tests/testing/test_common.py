"""Laws of everything that is registered, walked over the registries."""

from __future__ import annotations

import pytest

import mergecast as mc
from mergecast.errors import ResourceError
from mergecast.testing import checks


@pytest.mark.parametrize("check", checks("mergecast"), ids=str)
def test_what_comes_with_mergecast_keeps_the_laws(check):
    for suite in mc.SUITES:
        if f"suite '{suite.name}'" in str(check):
            try:
                suite.check(suite.recipe_type.quick())
            except ResourceError as error:
                pytest.skip(str(error))
    check()
