"""The floors of the room: rows, estimators, validation, and file and use on top of them."""

from __future__ import annotations

import pytest

from imports import arrows

ROOM = "mergecast.forecast."
#: What each file at the top of the room stands on; all others are above the three.
GROUND = {"rows", "training", "splitters", "intervals", "recommend", "sets"}


def floor(module: str) -> int:
    """0 for what knows no fit, then estimators, validation, and file and use."""
    name = module.removeprefix(ROOM)
    if name.startswith("estimators"):
        return 1
    if name.startswith("validation"):
        return 2
    return 0 if name in GROUND else 3


@pytest.mark.parametrize("below", ["rows and splitters", "estimators", "validation"])
def test_a_floor_knows_nothing_of_those_above_it(below):
    level = ["rows and splitters", "estimators", "validation"].index(below)
    against = [
        (arrow.importer, arrow.imported)
        for arrow in arrows()
        if arrow.importer.startswith(ROOM)
        and arrow.imported.startswith(ROOM)
        and floor(arrow.importer) == level < floor(arrow.imported)
    ]
    assert against == []


def test_the_ground_floor_is_where_it_says():
    names = {arrow.importer.removeprefix(ROOM) for arrow in arrows()}
    assert names >= GROUND
