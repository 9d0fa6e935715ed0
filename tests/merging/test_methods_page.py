"""docs/methods.md names every method that comes with mergecast, with what it takes."""

from __future__ import annotations

from pathlib import Path

from mergecast.merging import METHODS
from mergecast.merging.parameters import written

PAGE = Path(__file__).parents[2] / "docs/methods.md"
WEIGHTS = {"none": "none", "positive": "≥ 0", "signed": "any"}


def test_every_method_is_on_the_page_with_its_parameters_and_weights():
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    listed = {row[0].strip("`"): row for row in rows}
    own = {method.name: method for method in METHODS if method.package == "mergecast"}
    assert listed.keys() == own.keys()
    for name, method in own.items():
        _, _, parameters, weights, _ = listed[name]
        given = " ".join(f"`{key}={written(value)}`" for key, value in method.defaults.items())
        assert (parameters, weights) == (given, WEIGHTS[method.weights]), name
