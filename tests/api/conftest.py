"""What tests of searches watch."""

from __future__ import annotations

import pytest

from mergecast.search import merged as merged_module


@pytest.fixture
def merges(monkeypatch):
    """Every merge that is made to be measured."""
    made = []
    merge = merged_module.merge

    def counted(family, recipe, **options):
        made.append((recipe.label, options["members"]))
        return merge(family, recipe, **options)

    monkeypatch.setattr(merged_module, "merge", counted)
    return made
