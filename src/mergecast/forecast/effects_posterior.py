"""What some measured residuals say of all: a sum of Gaussian effects, conditioned in closed form.

A residual of member i beside j under method m, measured retention less forecast, is

    shift_m + slope_m z + own_mi + partner_mj + rest_mij (+ sampling noise),

z being the forecast less its mean over the method's rows: a slope of -1 makes the forecast a
constant. Own, partner and rest have a part that all methods share, a share ρ of their variance; the
shift and the slope have none, since what a family does to one method says nothing of the level of
another (`benchmarks/measured.py --method M`, and on real encoders it has the wrong sign). How large
effects are is not known: their sizes are drawn from a weak prior (quasi-random, always the same
draws), each draw is weighed by the likelihood of what was measured, and the posterior is the
mixture. One measured pair hardly moves the sizes, and many decide them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpotri
from scipy.special import ndtri
from scipy.stats import qmc

from mergecast.typing import Floats

Codes = npt.NDArray[np.intp]

#: Effects, in the order of `Effects.sd`: median of their standard deviation (in the forecaster's
#: own errors; the slope's as it is) and standard deviation of its logarithm.
PRIOR = {
    "shift": (0.6, 1.2),
    "slope": (0.2, 1.2),
    "own": (0.7, 0.7),
    "partner": (0.3, 0.7),
    "rest": (0.6, 0.7),
}
#: The median of ρ is ½; of its logit this is the standard deviation.
_SHARE_SPREAD = 1.0
_LOG2_DRAWS = 8
#: Rows that a method's scale of 1 counts as.
_PRIOR_ROWS = 5
_NEGLIGIBLE = 1e-6
#: Draws less likely than the likeliest by this much in logarithm count for nothing.
_UNLIKELY = 50.0


@dataclass(frozen=True)
class Rows:
    """Rows of members; each array (n,).

    Attributes
    ----------
    method, member, partner : array of int
        Codes, the same for the same thing; of models one code in both places.
    z : array of float
        Forecast less its mean over the method's rows.
    scale : array of float
        The forecaster's own error under the method, one standard deviation.
    rest : array of float
        The same of the row, where it is farther from what the forecaster was fitted on.
    common : array of float
        The same of what methods share: one value.
    """

    method: Codes
    member: Codes
    partner: Codes
    z: Floats
    scale: Floats
    rest: Floats
    common: Floats

    def take(self, rows: npt.NDArray[np.bool_]) -> Rows:
        """Some of them."""
        return Rows(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Effects:
    """How large the effects are: `sd` in the order of `PRIOR`, and what methods share of them."""

    sd: Floats
    share: float


def covariance(a: Rows, b: Rows, effects: Effects) -> Floats:
    """Covariance of the residuals of rows a (n,) and b (m,) without sampling noise, (n, m)."""
    shift, slope, own, partner, rest = effects.sd**2

    def same(x: Codes, y: Codes) -> npt.NDArray[np.bool_]:
        return np.asarray(x[:, None] == y[None, :])

    members, partners = same(a.member, b.member), same(a.partner, b.partner)
    of_models, of_row = own * members + partner * partners, rest * (members & partners)
    mine = np.outer(a.scale, b.scale) * (shift + (1 - effects.share) * of_models)
    mine += (1 - effects.share) * np.outer(a.rest, b.rest) * of_row + slope * np.outer(a.z, b.z)
    shared = effects.share * np.outer(a.common, b.common) * (of_models + of_row)
    return np.asarray(same(a.method, b.method) * mine + shared)


def variance(rows: Rows, effects: Effects) -> Floats:
    """The diagonal of `covariance(rows, rows)`, (n,)."""
    shift, slope, own, partner, rest = effects.sd**2
    mine = rows.scale**2 * (shift + (1 - effects.share) * (own + partner))
    mine += (1 - effects.share) * rest * rows.rest**2 + slope * rows.z**2
    return np.asarray(mine + effects.share * rows.common**2 * (own + partner + rest))


def condition(
    known: Rows, residuals: Floats, noise: Floats, rows: Rows, effects: Effects
) -> tuple[Floats, Floats]:
    """Mean and variance of the residuals of `rows` given some, for effects of known size.

    Parameters
    ----------
    known : Rows
        What was measured.
    residuals, noise : array of float
        Of `known`: measured less forecast, and the variance of the measurement.
    rows : Rows
        What is asked for.
    effects : Effects
        How large the effects are.
    """
    factor = _factor(known, noise, effects)
    across = covariance(rows, known, effects)
    explained = np.einsum("ij,ji->i", across, cho_solve(factor, across.T))
    mean = across @ cho_solve(factor, residuals)
    return mean, np.maximum(variance(rows, effects) - explained, 0.0)


def posterior(known: Rows, residuals: Floats, noise: Floats, rows: Rows) -> tuple[Floats, Floats]:
    """Mean and variance of the residuals of `rows`, over what the size of the effects may be.

    Methods differ in how much is left to chance: the variance of each is scaled by how far its
    measured pairs lie from what the others say of them. Arguments as of `condition`.
    """
    drawn = draws()
    logs = np.array([_log_likelihood(known, residuals, noise, effects) for effects in drawn])
    likeliest = drawn[int(np.argmax(logs))]
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    mean, square = np.zeros(len(rows.z)), np.zeros(len(rows.z))
    for weight, effects in zip(weights, drawn, strict=True):
        if weight > _NEGLIGIBLE:
            m, v = condition(known, residuals, noise, rows, effects)
            mean += weight * m
            square += weight * (v + m**2)
    scales = _scales(known, residuals, noise, likeliest)
    factors = np.array([scales.get(int(method), 1.0) for method in rows.method])
    return mean, np.maximum(square - mean**2, 0.0) * factors


def left_out(known: Rows, residuals: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of each measured residual, given those of all other pairs.

    The posterior without a pair, in closed form: what is left of an inverse covariance when rows
    are taken from it, and each draw weighed by the likelihood of the rest. The variance has the
    sampling noise in it. A method's scale is that of its other pairs.

    Parameters
    ----------
    known : Rows
        What was measured, n rows of p pairs.
    residuals : array of float
        Measured less forecast, (n,); or (p, n), a row for each pair of `pairs_of` that is left out,
        where the forecast of the others depends on it.
    noise : array of float
        The variance of the measurement, (n,).

    Returns
    -------
    tuple of arrays
        (n,) and (n,).
    """
    pair = pairs_of(known)
    blocks = [np.flatnonzero(pair == code) for code in range(pair.max() + 1)]
    given = np.broadcast_to(residuals, (len(blocks), len(pair)))
    drawn = draws()
    whole = given.mean(axis=0)
    logs = np.array([_log_likelihood(known, whole, noise, effects) for effects in drawn])
    squares = _squares(known, whole, noise, drawn[int(np.argmax(logs))])
    likely = [one for one, log in zip(drawn, logs, strict=True) if log > logs.max() - _UNLIKELY]
    weights = np.empty((len(likely), len(blocks)))
    means, variances = np.empty((2, len(likely), len(pair)))
    for d, effects in enumerate(likely):
        inverse, log_det = _inverse(known, noise, effects)
        weighed = given @ inverse
        for b, rows in enumerate(blocks):
            spread = np.linalg.inv(inverse[np.ix_(rows, rows)])
            apart = spread @ weighed[b, rows]
            means[d, rows], variances[d, rows] = given[b, rows] - apart, np.diag(spread)
            # The likelihood of all, less that of these rows given the others.
            ratio = weighed[b, rows] @ apart - given[b] @ weighed[b]
            weights[d, b] = (ratio - log_det + np.linalg.slogdet(spread)[1]) / 2
    weights = np.exp(weights - weights.max(axis=0))
    share = (weights / weights.sum(axis=0))[:, pair]
    mean = (share * means).sum(axis=0)
    variance = (share * (variances + (means - mean) ** 2)).sum(axis=0)
    others = (known.method[:, None] == known.method) & (pair[:, None] != pair)
    return mean, variance * (_PRIOR_ROWS + others @ squares) / (_PRIOR_ROWS + others.sum(axis=1))


def pairs_of(rows: Rows) -> Codes:
    """A code of each row's pair, whichever of its members the row is of, (n,)."""
    ends = np.sort(np.stack([rows.member, rows.partner]), axis=0)
    return np.asarray(np.unique(ends, axis=1, return_inverse=True)[1].ravel())


def _inverse(known: Rows, noise: Floats, effects: Effects) -> tuple[Floats, float]:
    """The inverse of what was measured's covariance, and the logarithm of its determinant."""
    factor, _ = _factor(known, noise, effects)
    half, _ = dpotri(factor, lower=True)
    half = np.tril(half)
    return half + np.tril(half, -1).T, float(2 * np.log(np.diag(factor)).sum())


def _scales(known: Rows, residuals: Floats, noise: Floats, effects: Effects) -> dict[int, float]:
    """Method to its mean square error in standard units, each pair left out, drawn towards 1."""
    squares, scales = _squares(known, residuals, noise, effects), {}
    for method in np.unique(known.method):
        mine = squares[known.method == method]
        scales[int(method)] = float((_PRIOR_ROWS + mine.sum()) / (_PRIOR_ROWS + len(mine)))
    return scales


def _squares(known: Rows, residuals: Floats, noise: Floats, effects: Effects) -> Floats:
    """Square errors of measured residuals in standard units, each pair left out, (n,)."""
    inverse, _ = _inverse(known, noise, effects)
    weighed = inverse @ residuals
    pair = pairs_of(known)
    squares = np.zeros(len(residuals))
    for code in range(pair.max() + 1):
        rows = np.flatnonzero(pair == code)
        spread = np.linalg.inv(inverse[np.ix_(rows, rows)])
        squares[rows] = (spread @ weighed[rows]) ** 2 / np.diag(spread)
    return squares


@cache
def draws() -> tuple[Effects, ...]:
    """Sizes of effects from the prior, quasi-random."""
    points = ndtri(qmc.Sobol(len(PRIOR) + 1, scramble=True, rng=0).random_base2(_LOG2_DRAWS))
    medians, spreads = np.array(list(PRIOR.values())).T
    sizes = medians * np.exp(spreads * points[:, :-1])
    shares = 1 / (1 + np.exp(-_SHARE_SPREAD * points[:, -1]))
    return tuple(Effects(sd, float(share)) for sd, share in zip(sizes, shares, strict=True))


def _log_likelihood(known: Rows, residuals: Floats, noise: Floats, effects: Effects) -> float:
    """Of measured residuals, less a constant."""
    factor = _factor(known, noise, effects)
    quadratic = residuals @ cho_solve(factor, residuals)
    return float(-0.5 * quadratic - np.log(np.diag(factor[0])).sum())


def _factor(known: Rows, noise: Floats, effects: Effects) -> tuple[Floats, bool]:
    matrix: tuple[Floats, bool] = cho_factor(
        covariance(known, known, effects) + np.diag(noise), lower=True
    )
    return matrix
