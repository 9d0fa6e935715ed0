"""Adam, in NumPy, with the patience by which the paper's linear fits stop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mergecast.typing import Floats

Objective = Callable[[Floats], tuple[float, Floats]]

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


def adam(
    objective: Objective,
    start: Floats,
    *,
    learning_rate: float,
    max_iter: int,
    patience: int | None = None,
    tol: float = 0.0,
    project: Callable[[Floats], Floats] = lambda w: w,
) -> tuple[Floats, int]:
    """Minimise from `start`; the *last* iterate counts, as in the published fits.

    Parameters
    ----------
    objective : callable
        w (p,) to (value, gradient (p,)).
    start : ndarray of shape (p,)
        Where to begin.
    learning_rate : float
        Step size.
    max_iter : int
        The most steps to take.
    patience : int, optional
        Stop after so many steps in a row that did not lower the best value by more than `tol`;
        never by default.
    tol : float
        See `patience`.
    project : callable
        Applied to the start and after each step.

    Returns
    -------
    w : ndarray of shape (p,)
        The last iterate.
    n_iter : int
        Steps begun.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """
    w = project(start.astype(np.float64))
    first, second = np.zeros_like(w), np.zeros_like(w)
    best, waited, step = np.inf, 0, 0
    for step in range(1, max_iter + 1):
        value, gradient = objective(w)
        if value < best - tol:
            best, waited = value, 0
        else:
            waited += 1
            if patience is not None and waited >= patience:
                break
        first = _BETA1 * first + (1 - _BETA1) * gradient
        second = _BETA2 * second + (1 - _BETA2) * gradient**2
        corrected = np.sqrt(second / (1 - _BETA2**step)) + _EPSILON
        w = project(w - learning_rate * first / (1 - _BETA1**step) / corrected)
    return w, step
