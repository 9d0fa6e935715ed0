"""Errors are what they are to code that knows nothing of mergecast, and survive a worker."""

from __future__ import annotations

import pickle

import pytest

from mergecast.errors import (
    CheckpointError,
    FamilyError,
    MergecastError,
    ResourceError,
    TableError,
    UndefinedError,
    UnknownNameError,
    UsageError,
)

KINDS = {
    UsageError: ValueError,
    UnknownNameError: KeyError,
    CheckpointError: ValueError,
    FamilyError: ValueError,
    TableError: ValueError,
    UndefinedError: ArithmeticError,
    ResourceError: OSError,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_caught_as_the_built_in_that_it_is(kind):
    error = kind("thing", "is wrong.", "mend it.")
    assert isinstance(error, MergecastError)
    assert isinstance(error, KINDS[kind])
    assert str(error) == "thing: is wrong; mend it"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back_whole_from_another_process(kind):
    error = kind("thing", "is wrong", "mend it").about("file.json")
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back)) == (kind, "file.json: thing: is wrong; mend it")
    assert back.exit_code == kind.exit_code


def test_an_unknown_name_is_a_key_error_in_one_line_without_quotes():
    with pytest.raises(KeyError) as caught:
        raise UsageError.unknown("method", "tiess", ["ties", "dare"])
    assert str(caught.value) == "method 'tiess': unknown; did you mean 'ties'? known: ties, dare"


def test_of_many_names_the_nearest_are_listed_and_case_does_not_matter():
    names = [f"metric_{k}" for k in range(100)]
    said = str(UsageError.unknown("metric", "Metric_7", names))
    assert "did you mean 'metric_7'? known: metric_7" in said
    assert "and 92 more" in said
    few = str(UsageError.unknown("method", "Ties", ["dare", "ties"]))
    assert few.endswith("did you mean 'ties'? known: dare, ties")
