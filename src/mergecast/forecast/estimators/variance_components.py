"""Variance components: how much of an outcome each of several similarities explains.

y ~ N(mean, Σ_k θ_k K_k + θ_0 I), θ by restricted maximum likelihood (REML). No folds are needed, so
nothing is held out twice, and rows that share a task do not count as independent: that is what the
K_k say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpotrf, dpotri

from mergecast.typing import Floats

Mask = npt.NDArray[np.bool_]

_TOLERANCE = 0.02
# Relative to the variance of y; keeps the covariance positive definite.
_FLOOR = 1e-8


@dataclass(frozen=True)
class Components:
    """A fit of `fit_components`.

    Attributes
    ----------
    mean : float
        Generalised least-squares mean of y.
    theta : ndarray of shape (k + 1,)
        Variances, the noise last.
    weights : ndarray of shape (n,)
        The prediction for new rows is mean + Σ θ_k K_k(new, train) @ weights.
    projection : ndarray of shape (n, n)
        REML's P, for `leave_out_residuals`.
    n_iter : int
        Steps taken.
    """

    mean: float
    theta: Floats
    weights: Floats
    projection: Floats
    n_iter: int


def fit_components(kernels: list[Floats], y: Floats, max_iter: int = 10) -> Components:
    """REML by fixed-point steps z'Kz / tr(PK); deterministic, never negative.

    Parameters
    ----------
    kernels : list of ndarray of shape (n, n)
        Positive semi-definite.
    y : ndarray of shape (n,)
        Outcomes.
    max_iter : int
        Steps; ended earlier when no variance that matters (explains a thousandth) changes by more
        than 2 %.

    References
    ----------
    Zhou, Hu, Qiao, Cho and Zhou, "MM algorithms for variance components models", 2019.
    """
    n, spread = len(y), float(y.var())
    floor = _FLOOR * spread if spread > 0 else 1e-12
    traces = np.array([float(np.trace(K)) / n for K in kernels])
    theta = np.append(spread / (2 * max(len(kernels), 1)) / np.maximum(traces, 1e-12), spread / 2)
    theta = np.maximum(np.append(np.where(traces > 0, theta[:-1], 0.0), theta[-1]), floor)
    scale = np.append(traces, 1.0)
    steps = 0
    while steps < max_iter:
        steps += 1
        projection, _, _ = _projection(kernels, theta, y)
        z = projection @ y
        numerator = [float(z @ K @ z) for K in kernels] + [float(z @ z)]
        denominator = [float(np.vdot(projection, K)) for K in kernels]
        denominator.append(float(np.trace(projection)))
        ratio = np.maximum(numerator, 0.0) / np.maximum(denominator, 1e-300)
        # The monotone step takes the root; without it, the same fixed point in half the steps.
        updated = np.maximum(theta * ratio, floor)
        moved = np.abs(np.log(updated / theta))[theta * scale > 1e-3 * spread]
        theta = updated
        if moved.max(initial=0.0) < _TOLERANCE:
            break
    projection, inverse, mean = _projection(kernels, theta, y)
    return Components(mean, theta, inverse @ (y - mean), projection, steps)


def leave_out_residuals(fit: Components, y: Floats, held_out: list[Mask]) -> list[Floats]:
    """What each set of rows would miss its forecast by, were it predicted from all other rows.

    Exact for given variances, without a refit: (P_gg)⁻¹ (P y)_g for a set g.
    """
    z = fit.projection @ y
    return [
        np.asarray(np.linalg.lstsq(fit.projection[np.ix_(rows, rows)], z[rows], rcond=1e-10)[0])
        for rows in held_out
    ]


def worth_adding(fit: Components, kernel: Floats, y: Floats) -> bool:
    """Whether one more kernel raises the restricted likelihood at all (its score at variance 0)."""
    z = fit.projection @ y
    return bool(z @ kernel @ z > np.vdot(fit.projection, kernel))


def _projection(kernels: list[Floats], theta: Floats, y: Floats) -> tuple[Floats, Floats, float]:
    n = len(y)
    covariance = np.zeros((n, n))
    for value, K in zip(theta, kernels, strict=False):
        covariance += value * K
    covariance[np.diag_indices(n)] += theta[-1]
    factor, _ = dpotrf(covariance, lower=1, overwrite_a=1, clean=1)
    inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
    inverse += np.tril(inverse, -1).T
    column = inverse.sum(axis=1)
    total = float(column.sum())
    projection = inverse - np.outer(column, column) / total
    return projection, inverse, float(column @ y) / total
