"""The common tests tell a method that breaks a law, by name."""

from __future__ import annotations

import re

import pytest
import torch

from mergecast.errors import UsageError
from mergecast.merging import METHODS, merging_method
from mergecast.testing import check_merging_method, checks


def no_docstring(block):
    return block.deltas.mean(0)


def wrong_default(block, *, scaling: float = "a lot"):
    """A default that no user could give."""
    return block.deltas.mean(0)


def wrong_shape(block):
    """Keeps the members."""
    return block.deltas


def infinite(block):
    """Divides by nothing."""
    return block.deltas.mean(0) / 0


def wrong_dtype(block):
    """Always float32."""
    return block.deltas.mean(0).float()


def no_tensor(block):
    """Forgets to return."""


def first_member(block):
    """Whoever stands first wins."""
    return block.deltas[0]


def offset(block):
    """Never the base."""
    return block.deltas.mean(0) + 1e-3


def global_random(block):
    """A mask of the process's own random state."""
    return block.deltas.mean(0) * torch.rand(block.base.shape, dtype=block.base.dtype)


def in_place(block):
    """The mean, made in the first member's place."""
    return block.deltas[0].add_(block.deltas[1:].sum(0)).div_(len(block.deltas))


@pytest.mark.parametrize(
    ("kernel", "problem"),
    [
        (no_docstring, "it says where it is from: its kernel has no docstring"),
        (
            wrong_shape,
            r"it takes any shape.*: 1 × \(8, 5\) in torch.float32 became \(1, 8",
        ),
        (infinite, "became NaN or infinity"),
        (wrong_dtype, "in torch.float64 became torch.float32"),
        (no_tensor, "it returned NoneType, no tensor"),
        (first_member, "the order of members does not matter: in the order .* it differs by"),
        (offset, "models equal to the base leave it as it is: shape .* differs by up to 0.001"),
        (global_random, "it gives the same bits each time: two runs differ"),
        (in_place, "it alters nothing that it is given: it wrote into its input"),
    ],
)
def test_a_broken_law_is_named(kernel, problem):
    with METHODS.isolated():
        merging_method("broken", reference="a test", max_members=2)(kernel)
        problems = []
        for check in checks(__name__.partition(".")[0]):
            try:
                check()
            except AssertionError as error:
                problems.append(str(error))
    match = re.compile(f"merging method 'broken': .*{problem}")
    assert any(match.match(one) for one in problems), problems


def test_wrong_defaults_are_told_as_to_users():
    with METHODS.isolated():
        merging_method("broken", reference="a test")(wrong_default)
        match = "its defaults are valid: parameter 'scaling' of broken: is 'a lot'"
        with pytest.raises(AssertionError, match=match):
            check_merging_method("broken")


def test_unknown_names_are_told():
    with pytest.raises(UsageError, match="merging method 'tie': unknown; did you mean 'ties'"):
        check_merging_method("tie")
    with pytest.raises(UsageError, match="package 'mergcast': registers nothing to check; give"):
        checks("mergcast")
