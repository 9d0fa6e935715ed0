"""The examples of every docstring, run as they stand."""

from __future__ import annotations

import doctest
from importlib import import_module
from itertools import chain

import pytest

import mergecast as mc
from imports import modules
from mergecast.evidence.metric import METRICS

#: Modules that start the program when they are imported.
RUN_AS_PROGRAMS = {"mergecast.__main__"}


def _examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = sorted(set(modules()) - RUN_AS_PROGRAMS)
    found = chain.from_iterable(finder.find(import_module(name), name) for name in names)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("example", _examples(), ids=lambda example: example.name)
def test_the_examples_of_a_docstring_run(example, example_folder):
    said: list[str] = []
    with mc.METHODS.isolated(), METRICS.isolated():
        failed, _ = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert not failed, "".join(said)
