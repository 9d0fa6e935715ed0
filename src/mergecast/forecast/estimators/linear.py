"""Ridge and Lasso on standardised metrics, the penalty chosen by folds that hold out tasks.

A metric far outside its training range counts as if it were less far: single metrics of unseen
models (a Fisher trace, a margin) can lie many standard deviations out, where a linear effect was
never tested and would drown all others.

Both estimators take arrays, or frames with the identity columns of `mergecast.forecast.rows`.
With identity columns the penalty is chosen by `TaskKFold` on the rows they were fitted on, so an
outer fold is never seen. Without them nothing says which rows share a task, and each row counts as
independent (a pair of tasks of its own).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import lasso_path, ridge_regression

from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.estimators.scaling import ScaledLinear, metrics_of, standardisation, within
from mergecast.forecast.estimators.stored_linear import LinearModel
from mergecast.forecast.rows import task_groups
from mergecast.forecast.splitters import TaskKFold
from mergecast.typing import Floats

#: Length of the grid of penalties, and blocks of tasks held out to choose one.
_N_PENALTIES, _N_FOLDS = 20, 10


class _PenalisedLinear(ScaledLinear):
    """A linear model with one penalty; abstract over the solver of its path.

    Attributes
    ----------
    penalty_ : float
        The chosen penalty. Beside it, those of `ScaledLinear`.
    """

    reach = 0.25

    def fit(self, X: Any, y: Any) -> Self:
        """Choose the penalty on inner task folds, then solve on all rows.

        Parameters
        ----------
        X : array-like of shape (n, p), or DataFrame
            Finite numbers; a frame may also have identity columns.
        y : array-like of shape (n,)
            Retention.
        """
        Z, y = self._learn_scale(X, y)
        self.intercept_ = float(y.mean())
        centred = y - self.intercept_
        grid = self._grid(Z, centred)
        self.penalty_ = self._choose(metrics_of(self, X), y, task_groups(X, len(y)), grid)
        self.coef_ = self._path(Z, centred, np.array([self.penalty_]))[0]
        return self

    def _choose(self, X: Floats, y: Floats, groups: npt.NDArray[np.str_], grid: Floats) -> float:
        """The penalty that tells the pairs of held-out tasks apart best; the largest of equals.

        Errors count within a fold, around their mean: what a new task loses whatever its partner
        shifts all of its pairs alike. No penalty can remove that shift, and squared errors that
        contain it once a pair, not once a task, ask for far too much shrinkage. Many small blocks
        for the same reason: inner training sets are then nearly as large as the outer one.
        With too few tasks to hold any out nothing speaks for a weaker penalty than the largest.
        """
        errors = np.zeros(len(grid))
        for train, test in TaskKFold(_N_FOLDS).split(groups=groups):
            mean, scale = standardisation(X[train])
            centre = y[train].mean()
            coefs = self._path((X[train] - mean) / scale, y[train] - centre, grid)
            inside = within(X[test], X[train].min(axis=0), X[train].max(axis=0), self.reach)
            missed = centre + ((inside - mean) / scale) @ coefs.T - y[test, None]
            errors += ((missed - missed.mean(axis=0)) ** 2).sum(axis=0)
        # Rounding apart, equal errors are equal.
        return float(grid[np.flatnonzero(errors <= errors.min() * (1 + 1e-9))[0]])

    def _grid(self, Z: Floats, y: Floats) -> Floats:
        """Penalties to choose from, decreasing."""
        raise NotImplementedError

    def _path(self, Z: Floats, y: Floats, penalties: Floats) -> Floats:
        """Coefficients (n_penalties, p) for centred y, one row a penalty."""
        raise NotImplementedError


@predictor("ridge", "ridge regression on standardised metrics", stored=LinearModel)
class TaskRidge(_PenalisedLinear):
    """Ridge regression: min ‖y − Zw‖² / n + penalty ‖w‖², Z standardised.

    The grid of penalties runs from 1000 (all but constant) down to 0.001.
    """

    def _grid(self, Z: Floats, y: Floats) -> Floats:
        return np.logspace(3, -3, _N_PENALTIES)

    def _path(self, Z: Floats, y: Floats, penalties: Floats) -> Floats:
        # One target a penalty: scikit-learn then forms the Gram matrix once for the whole grid.
        targets = np.tile(y[:, None], (1, len(penalties)))
        coefs = ridge_regression(Z, targets, alpha=penalties * len(y), solver="cholesky")
        return np.asarray(coefs).reshape(len(penalties), -1)


@predictor("lasso", "Lasso on standardised metrics", stored=LinearModel)
class TaskLasso(_PenalisedLinear):
    """The Lasso: min ‖y − Zw‖² / 2n + penalty ‖w‖₁, Z standardised.

    The well-posed form of the paper's objective: convex, deterministic, and free to end at the
    constant (the largest penalty of the grid leaves no coefficient).

    The grid of penalties runs from the least that leaves no coefficient down to a hundredth of it.
    """

    def _grid(self, Z: Floats, y: Floats) -> Floats:
        top = float(np.abs(Z.T @ y).max(initial=0.0)) / len(y)
        spread = float(y.std())
        if top <= 1e-10 * spread:
            # Rounding alone correlates: the constant, by a penalty that nothing can outweigh.
            return np.array([spread or 1.0])
        # A hair above, so that the first of the grid is the constant beyond rounding.
        return np.geomspace(top * (1 + 1e-9), top * 1e-2, _N_PENALTIES)

    def _path(self, Z: Floats, y: Floats, penalties: Floats) -> Floats:
        # With the Gram matrix (p is small) a coordinate step does not depend on the number of rows;
        # the inputs are ours, and checking them again at each penalty would cost half the time.
        Z = np.asfortranarray(Z)
        gram = np.ascontiguousarray(Z.T @ Z)
        _, coefs, _ = lasso_path(
            Z,
            y,
            alphas=penalties,
            precompute=gram,
            Xy=Z.T @ y,
            check_input=False,
            max_iter=100_000,
        )
        return np.asarray(coefs).T
