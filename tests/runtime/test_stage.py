"""A stage's key holds what a number was made by: its version, what it uses, code that is given."""

from __future__ import annotations

import ast

import pytest

from mergecast.runtime.stage import Stage, code_digest, tree_digest

READ = Stage("read", 3)
MEAN = Stage("mean", uses=(READ,))


def halved(x):
    return x / 2


def test_a_stage_carries_the_versions_of_all_that_it_uses():
    top = Stage("table", 2, uses=(MEAN, Stage("files")))
    assert top.versions() == {"files": 1, "mean": 1, "read": 3, "table": 2}
    raised = Stage("table", 2, uses=(Stage("mean", uses=(Stage("read", 4),)), Stage("files")))
    assert raised.key != top.key


def test_the_order_of_what_is_used_does_not_count():
    assert Stage("a", uses=(READ, MEAN)).key == Stage("a", uses=(MEAN, READ)).key
    assert Stage("a").with_uses(READ, MEAN).key == Stage("a", uses=(READ, MEAN)).key


def test_functions_that_are_given_count_by_their_code():
    def other(x):
        return x / 3

    given = [halved]
    stage = Stage("forms", functions=lambda: given)
    key = stage.key
    assert stage.key == key == Stage("forms", functions=lambda: [halved]).key
    given[0] = other
    assert stage.key != key
    assert code_digest(eval("lambda x: x")) == ""


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ("def f(x):\n    '''Other words.'''\n    return x + 1  # a reason\n", True),
        ("def f(x):\n\n    return (x + 1)\n", True),
        ("def f(x):\n    return x + 2\n", False),
        ("def f(y):\n    return y + 1\n", False),
    ],
)
def test_words_and_layout_do_not_count_and_code_does(changed, same):
    plain = tree_digest(ast.parse("def f(x):\n    'Words.'\n    return x + 1\n"))
    assert (tree_digest(ast.parse(changed)) == plain) is same
