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
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import lasso_path, ridge_regression
from sklearn.utils.validation import check_is_fitted, validate_data

from mergecast.forecast.estimators.predictors import predictor
from mergecast.forecast.estimators.scaling import REACH, standardisation, within
from mergecast.forecast.estimators.stored_linear import LinearModel
from mergecast.forecast.rows import task_groups, without_identity
from mergecast.forecast.splitters import TaskKFold
from mergecast.typing import Floats


class LimitedLinear(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A linear model of metrics that count no further than they were tested; abstract.

    Attributes
    ----------
    coef_ : ndarray of shape (p,)
        Effect of one standard deviation of each metric.
    intercept_ : float
        Mean of the outcomes.
    mean_, scale_ : ndarray of shape (p,)
        Of the training rows; a constant column has scale inf, hence no effect.
    low_, high_ : ndarray of shape (p,)
        Range of the training rows.
    """

    reach: float

    def predict(self, X: Any) -> Floats:
        """Predicted retention, (n,); not clipped."""
        check_is_fitted(self)
        X = validate_data(self, without_identity(X), dtype=np.float64, reset=False)
        return np.asarray(self._standardised(X) @ self.coef_ + self.intercept_)

    def _learn_scale(self, X: Floats) -> Floats:
        """Standardised training metrics."""
        self.mean_, self.scale_ = standardisation(X)
        self.low_, self.high_ = X.min(axis=0), X.max(axis=0)
        return self._standardised(X)

    def _standardised(self, X: Floats) -> Floats:
        return (within(X, self.low_, self.high_, self.reach) - self.mean_) / self.scale_


class _PenalisedLinear(LimitedLinear):
    """A linear model with one penalty; abstract over the solver of its path."""

    def __init__(self, n_penalties: int = 20, n_folds: int = 10, reach: float = REACH) -> None:
        self.n_penalties = n_penalties
        self.n_folds = n_folds
        self.reach = reach

    def fit(self, X: Any, y: Any) -> Self:
        """Choose the penalty on inner task folds, then solve on all rows.

        Parameters
        ----------
        X : array-like of shape (n, p), or DataFrame
            Finite numbers; a frame may also have identity columns.
        y : array-like of shape (n,)
            Retention.
        """
        frame = X
        X, y = validate_data(self, without_identity(X), y, dtype=np.float64, y_numeric=True)
        groups = task_groups(frame, len(y))
        Z, centre = self._learn_scale(X), float(y.mean())
        grid = self._grid(Z, y - centre)
        self.penalty_ = self._choose(X, y, groups, grid)
        self.coef_ = self._path(Z, y - centre, np.array([self.penalty_]))[0]
        self.intercept_ = centre
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
        for train, test in TaskKFold(self.n_folds).split(groups=groups):
            mean, scale = standardisation(X[train])
            centre = y[train].mean()
            coefs = self._path((X[train] - mean) / scale, y[train] - centre, grid)
            inside = within(X[test], X[train].min(axis=0), X[train].max(axis=0), self.reach)
            predicted = centre + ((inside - mean) / scale) @ coefs.T
            missed = predicted - y[test, None]
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

    Parameters
    ----------
    n_penalties : int
        Length of the grid, from 1000 (all but constant) down to 0.001.
    n_folds : int
        Blocks of tasks held out to choose the penalty.
    reach : float
        How far beyond its training range a metric still counts, in widths of that range.

    Attributes
    ----------
    penalty_ : float
        The chosen penalty. Beside it, those of `LimitedLinear`.
    """

    def _grid(self, Z: Floats, y: Floats) -> Floats:  # fixed
        return np.logspace(3, -3, self.n_penalties)

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

    Parameters
    ----------
    n_penalties : int
        Length of the grid, from the least penalty that leaves no coefficient down to a hundredth
        of it.
    n_folds, reach
        As in `TaskRidge`.

    Attributes
    ----------
    penalty_ : float
        The chosen penalty. Beside it, those of `LimitedLinear`.
    """

    def _grid(self, Z: Floats, y: Floats) -> Floats:
        top = float(np.abs(Z.T @ y).max(initial=0.0)) / len(y)
        spread = float(y.std())
        if top <= 1e-10 * spread:
            # Rounding alone correlates: the constant, by a penalty that nothing can outweigh.
            return np.array([spread or 1.0])
        # A hair above, so that the first of the grid is the constant beyond rounding.
        return np.geomspace(top * (1 + 1e-9), top * 1e-2, self.n_penalties)

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
