from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score, cross_validate

from mergecast.errors import UsageError
from mergecast.forecast.splitters import LeaveOneTaskOut, LeaveTwoTasksOut, TaskKFold


def complete(n_tasks):
    return np.array(list(combinations([f"t{i}" for i in range(n_tasks)], 2)))


@st.composite
def groups_of_pairs(draw):
    """Two rows a pair, rows shuffled and sides swapped, of 5 to 8 tasks."""
    groups = np.repeat(complete(draw(st.integers(5, 8))), 2, axis=0)
    generator = np.random.default_rng(draw(st.integers(0, 1000)))
    return np.array(
        [
            pair[::-1] if generator.random() < 0.5 else pair
            for pair in groups[generator.permutation(len(groups))]
        ]
    )


@settings(deadline=None)  # a busy machine is no failure
@given(groups_of_pairs())
def test_loto_never_trains_on_a_pair_that_touches_the_held_out_task(groups):
    splitter = LeaveOneTaskOut()
    tasks = np.unique(groups)
    folds = list(splitter.split(groups=groups))
    assert len(folds) == splitter.get_n_splits(groups=groups) == len(tasks)
    for task, (train, test) in zip(tasks, folds, strict=True):
        assert (groups[test] == task).any(axis=1).all()
        assert not (groups[train] == task).any()
        assert len(train) + len(test) == len(groups)


@settings(deadline=None)  # a busy machine is no failure
@given(groups_of_pairs())
def test_l2to_tests_each_pair_once_and_trains_on_neither_of_its_tasks(groups):
    splitter = LeaveTwoTasksOut()
    n = len(np.unique(groups))
    folds = list(splitter.split(groups=groups))
    assert len(folds) == splitter.get_n_splits(groups=groups) == n * (n - 1) // 2
    for train, test in folds:
        held_out = np.unique(groups[test])
        assert len(held_out) == 2
        assert not np.isin(groups[train], held_out).any()
        assert len(train) == (n - 2) * (n - 3)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(groups)))


@settings(deadline=None)  # a busy machine is no failure
@given(groups_of_pairs(), st.integers(2, 6))
def test_blocks_of_tasks_share_no_task_between_test_block_and_training(groups, n_folds):
    held_out = []
    for train, test in TaskKFold(n_folds).split(groups=groups):
        block = set(np.unique(groups)) - set(np.unique(groups[train]))
        assert all(block & set(pair) for pair in groups[test])
        held_out += sorted(block)
    assert len(held_out) >= len(np.unique(groups))


def test_only_pairs_that_occur_make_a_fold():
    groups = np.delete(complete(6), 0, axis=0)
    assert LeaveTwoTasksOut().get_n_splits(groups=groups) == 14
    assert "t0+t1" not in LeaveTwoTasksOut().fold_names(groups)


def test_they_drive_cross_validate():
    groups = complete(6)
    X = np.random.default_rng(0).normal(size=(len(groups), 2))
    y = X @ [1.0, 2.0]
    scores = cross_val_score(LinearRegression(), X, y, cv=LeaveOneTaskOut(), groups=groups)
    assert scores == pytest.approx(np.ones(6))
    found = cross_validate(
        LinearRegression(),
        X,
        y,
        cv=LeaveTwoTasksOut(),
        groups=groups,
        scoring="neg_mean_absolute_error",
    )
    assert len(found["test_score"]) == 15


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (None, "groups: missing"),
        ([1, 2, 3], r"expected shape \(n_rows, 2\), got \(3,\)"),
        ([("a", "b"), ("c", "c")], "groups, row 1: task 'c' twice"),
        (complete(3), r"fold t0\+t1: no pair is left to train on \(3 tasks in all\)"),
    ],
)
def test_groups_that_cannot_be_split_say_why(groups, message):
    with pytest.raises(UsageError, match=message):
        list(LeaveTwoTasksOut().split(groups=groups))
