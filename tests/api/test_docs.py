"""The examples of docs/api.md, run as they stand."""

from __future__ import annotations

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_examples_of_the_page_run(example_folder):
    failed, run = doctest.testfile(str(PAGE), module_relative=False, verbose=False)
    assert run > 15
    assert failed == 0
