"""Which merge to measure next, and whether the best one is known well enough: numbers alone."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from mergecast.typing import Floats

#: Points of a standard normal that an expected maximum is taken over.
_POINTS = 64


def expected_gains(mean: Floats, moved: Floats) -> Floats:
    """How much better the merge chosen after one more measurement is expected to be, (o,).

    The knowledge gradient for correlated normal beliefs (Frazier, Powell and Dayanik, 'The
    Knowledge-Gradient Policy for Correlated Normal Beliefs', 2009), its expectation over points of
    equal probability.

    Parameters
    ----------
    mean : (c,) array
        Of every merge's utility.
    moved : (c, o) array
        How far each measurement will move it, as the standard deviation with its sign.
    """
    points = ndtri((np.arange(_POINTS) + 0.5) / _POINTS)
    now = mean.max()
    gains = [(mean[:, None] + one[:, None] * points).max(axis=0).mean() - now for one in moved.T]
    return np.maximum(gains, 0.0)


def draws_of(mean: Floats, covariance: Floats, count: int, seed: int) -> Floats:
    """Draws of correlated normal numbers, (count, n), in pairs that lie opposite: the mean of an
    even number of them is `mean`.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    half = np.random.default_rng(seed).standard_normal(((count + 1) // 2, len(mean)))
    return np.asarray(mean + np.concatenate([half, -half])[:count] @ root.T)


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
