"""Docstrings keep numpydoc's grammar, so that whatever renders them shows types as types."""

from __future__ import annotations

import pytest

from imports import modules, room_of
from numpydoc_grammar import Docstring, docstrings, is_type, problems

ROOMS = sorted({room_of(module) for module in modules()})


@pytest.mark.parametrize("room", ROOMS)
def test_every_docstring_of_a_room_gives_types_and_describes_below_them(room):
    found = [
        problem
        for module, file in modules().items()
        if room_of(module) == room
        for docstring in docstrings(file, module)
        for problem in problems(docstring)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("name : what it is called.", "a description where its type belongs"),
        ("name : the label\n    of a model", "a description where its type belongs"),
        ("name", "has no type"),
        ("other : str\n    Text.", "no parameter 'other'"),
        ("So it is.", "is no 'name : type'"),
        ("name : str\n    Text.", None),
        ("name : sequence of str or None, optional\n    Text.", None),
        ('name : {"a", "b"}\n    One of two words.', None),
    ],
)
def test_what_breaks_the_grammar_is_named(entry, problem):
    text = f"Do it.\n\nParameters\n----------\n{entry}"
    found = list(problems(Docstring("module.function", text, frozenset({"name"}))))
    assert len(found) == (problem is not None)
    assert problem is None or problem in found[0]


def test_types_are_told_from_sentences():
    assert is_type("mapping of str to ndarray of shape (n, p)")
    assert is_type("callable")
    assert not is_type("names of the models")
    assert not is_type("Path; followed")
