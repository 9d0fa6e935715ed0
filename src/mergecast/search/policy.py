"""Which merge to measure next, and whether the best one is known well enough: numbers alone."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from mergecast.typing import Floats

#: Points of a standard normal that an expected maximum is taken over.
_POINTS = 64


def expected_gains(mean: Floats, covariance: Floats, noise: Floats) -> Floats:
    """How much better the merge chosen after one more measurement is expected to be, (c,).

    The knowledge gradient for correlated normal beliefs (Frazier, Powell and Dayanik, 'The
    Knowledge-Gradient Policy for Correlated Normal Beliefs', 2009), its expectation over points of
    equal probability.

    Parameters
    ----------
    mean : (c,) array
        Of every merge's utility.
    covariance : (c, c) array
        Of the beliefs.
    noise : (c,) array
        Variance of the noise of measuring each merge.
    """
    points = ndtri((np.arange(_POINTS) + 0.5) / _POINTS)
    now = mean.max()
    gains = np.empty(len(mean))
    for row, spread in enumerate(np.diag(covariance) + noise):
        moved = covariance[row] / np.sqrt(max(spread, 1e-18))
        gains[row] = (mean[:, None] + moved[:, None] * points).max(axis=0).mean() - now
    return np.maximum(gains, 0.0)


def after(covariance: Floats, row: int, noise: float) -> Floats:
    """The covariance of beliefs once a merge will have been measured."""
    column = covariance[:, row]
    spread = max(float(covariance[row, row]) + noise, 1e-18)
    return np.asarray(covariance - np.outer(column, column) / spread)


def draws_of(mean: Floats, covariance: Floats, count: int, seed: int) -> Floats:
    """Draws of correlated normal numbers, (count, n)."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    points = np.random.default_rng(seed).standard_normal((count, len(mean)))
    return np.asarray(mean + points @ root.T)


def certainty(utilities: Floats, best: int, epsilon: float) -> float:
    """The probability that no merge is better than one by more than `epsilon`.

    Parameters
    ----------
    utilities : (s, c) array
        Draws of every merge's utility.
    best : int
        The merge.
    epsilon : float
        What does not matter.
    """
    return float((utilities.max(axis=1) - utilities[:, best] <= epsilon).mean())
