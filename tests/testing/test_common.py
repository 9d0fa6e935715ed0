"""Laws of everything that is registered, walked over the registries."""

from __future__ import annotations

import pytest

from mergecast.testing import checks


@pytest.mark.parametrize("check", checks("mergecast"), ids=str)
def test_what_comes_with_mergecast_keeps_the_laws(check):
    check()
