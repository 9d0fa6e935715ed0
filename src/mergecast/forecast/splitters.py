"""Task-aware cross-validation: pairs share tasks, so a fold holds out tasks, never pairs.

Every splitter takes `groups`, array-like of shape (n_rows, 2): the two tasks of each row. Task
names are compared as they stand: a task of the same name in two suites counts as the same task and
is held out of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import BaseCrossValidator

from mergecast.errors import UsageError

Indices = npt.NDArray[np.intp]
#: Row indices to train on and to test on.
TrainTest = tuple[Indices, Indices]
Mask = npt.NDArray[np.bool_]


class _TaskSplitter(BaseCrossValidator):  # type: ignore[misc]  # scikit-learn has no types
    """Train and test rows by which tasks they touch; abstract."""

    # The documented way to have `cross_validate` hand `groups` to a splitter.
    __metadata_request__split: ClassVar[dict[str, bool]] = {"groups": True}

    def split(self, X: Any = None, y: Any = None, groups: Any = None) -> Iterator[TrainTest]:
        """Yield (train, test) row indices, folds in order of sorted task names.

        Parameters
        ----------
        X, y : object
            Ignored; they exist for scikit-learn.
        groups : array-like of shape (n_rows, 2)
            The two tasks of each row.

        Raises
        ------
        UsageError
            `groups` has another shape, or a fold would have nothing to train on.
        """
        pairs = _as_pairs(groups)
        for name, test, train in self._folds(pairs):
            if not train.any():
                raise UsageError(
                    f"{type(self).__name__}, fold {name}",
                    f"no pair is left to train on ({len(np.unique(pairs))} tasks in all)",
                    "give pairs of more tasks",
                )
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """The number of folds; `groups` as in `split`."""
        return sum(1 for _ in self._folds(_as_pairs(groups)))

    def fold_names(self, groups: Any) -> list[str]:
        """What each fold holds out, in the order of `split`."""
        return [name for name, _, _ in self._folds(_as_pairs(groups))]

    def _folds(self, pairs: npt.NDArray[np.str_]) -> Iterator[tuple[str, Mask, Mask]]:
        raise NotImplementedError


class LeaveOneTaskOut(_TaskSplitter):
    """LOTO: test on the pairs that touch a task, train on all others (the paper's protocol).

    The partner of a test pair has been seen, in its other pairs: this says how a forecast does
    for *one* new model among known ones.

    Examples
    --------
    >>> groups = [("a", "b"), ("a", "c"), ("b", "c")]
    >>> [(train.tolist(), test.tolist()) for train, test in LeaveOneTaskOut().split(groups=groups)]
    [([2], [0, 1]), ([1], [0, 2]), ([0], [1, 2])]
    """

    def _folds(self, pairs: npt.NDArray[np.str_]) -> Iterator[tuple[str, Mask, Mask]]:
        for task in np.unique(pairs):
            test = _touches(pairs, [str(task)])
            yield str(task), test, ~test


class LeaveTwoTasksOut(_TaskSplitter):
    """L2TO: test on one pair, train on the pairs that touch neither of its tasks.

    Pairs that touch exactly one of the two are in neither set. Nothing about either model has been
    seen: this says how a forecast does for a pair of new models. One fold a pair of tasks that
    occurs in `groups`; needs four tasks.
    """

    def _folds(self, pairs: npt.NDArray[np.str_]) -> Iterator[tuple[str, Mask, Mask]]:
        ordered = np.sort(pairs, axis=1)
        for first, second in combinations(np.unique(pairs), 2):
            test = (ordered[:, 0] == first) & (ordered[:, 1] == second)
            if test.any():
                yield f"{first}+{second}", test, ~_touches(pairs, [first, second])


class TaskKFold(_TaskSplitter):
    """Leave a block of tasks out: test on pairs that touch the block, train on the rest.

    For choosing penalties *inside* a training set, where leaving out each task would cost a fit a
    task. Sorted tasks are dealt to the blocks in turn; blocks that leave nothing to train on are
    not made, so there may be fewer than `n_folds` folds, or none.
    """

    def __init__(self, n_folds: int = 5) -> None:
        self.n_folds = n_folds

    def _folds(self, pairs: npt.NDArray[np.str_]) -> Iterator[tuple[str, Mask, Mask]]:
        tasks = np.unique(pairs)
        n_folds = min(self.n_folds, len(tasks))
        for fold in range(n_folds):
            test = _touches(pairs, tasks[fold::n_folds])
            if not test.all():
                yield f"block {fold + 1}", test, ~test


def _touches(pairs: npt.NDArray[np.str_], tasks: npt.ArrayLike) -> Mask:
    return np.asarray(np.isin(pairs, tasks).any(axis=1))


def _as_pairs(groups: Any) -> npt.NDArray[np.str_]:
    if groups is None:
        raise UsageError("groups", "missing", "give the two tasks of each row, shape (n_rows, 2)")
    pairs = np.asarray(groups, dtype=str)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise UsageError(
            "groups", f"expected shape (n_rows, 2), got {pairs.shape}", "give the tasks of each row"
        )
    alike = np.flatnonzero(pairs[:, 0] == pairs[:, 1])
    if alike.size:
        raise UsageError(
            f"groups, row {alike[0]}", f"task {str(pairs[alike[0], 0])!r} twice", "give two tasks"
        )
    return pairs
