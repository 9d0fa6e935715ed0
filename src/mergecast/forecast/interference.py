"""What a member keeps at any strength: its own effect, lifted by the others and disturbed by them.

Alone, a member keeps own(s) at strength s. Beside others it keeps

    floor + (own(s + λ · t) - floor) / (1 + κ · load^e),

where t is the sum of the others' strengths and the load the squared size of the shifts that they
cause together on the member's samples, over that of its own shift. Its *lift* λ says how far the
others do what the member does itself: fine-tuned encoders leave their base in the same direction.
κ is its sensitivity and e the family's exponent, near 1 where disturbances add up like noise. All
are fitted to a few merges that were made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.tables.strengths import Alone
from mergecast.typing import Array

#: What is likeliest before anything was measured, and how far it usually is from that: logarithm
#: of the exponent, of all sensitivities, lift of all; then of one member. In units of what is
#: kept, a residual of `_NOISE` weighs as much as one such distance.
_COMMON = np.array([[0.3, 0.5], [-2.0, 2.0], [0.1, 0.15]])
_MEMBER = (1.0, 0.1)
_NOISE = 0.05
#: Draws of what was fitted, for intervals.
_DRAWS = 200


@dataclass(frozen=True)
class Place:
    """Where a member stands in a set, at one strength of the set or at many.

    Attributes
    ----------
    member : str
        Label.
    strength : array or float
        Of its task vector.
    others : array or float
        Sum of the others' strengths.
    load : array or float
        Squared size of the others' shifts together over that of its own shift at strength 1.
    """

    member: str
    strength: Array | float
    others: Array | float
    load: Array | float


@dataclass(frozen=True)
class Interference:
    """What others do to every member of a family, fitted.

    Attributes
    ----------
    alone : mapping of str to Alone
        Every member.
    members : tuple of str
        In the order of `parameters`.
    parameters : (3 + 2n,) array
        Logarithms of the exponent and of all sensitivities, the lift of all; then each member's
        distances from the last two.
    covariance : (3 + 2n, 3 + 2n) array
        Of the parameters, given what was observed.
    noise : float
        Standard deviation of what is kept about the fit.
    """

    alone: Mapping[str, Alone]
    members: tuple[str, ...]
    parameters: Array
    covariance: Array
    noise: float

    @property
    def exponent(self) -> float:
        """How what is lost grows with the load."""
        return float(np.exp(self.parameters[0]))

    def kept(self, place: Place) -> Array:
        """What a member keeps; NaN where it is stronger than what was measured alone."""
        return self._kept(self.parameters, place)

    def interval(self, places: Sequence[Place], level: float = 0.9) -> tuple[Array, Array]:
        """Ends of an interval of the mean of several members, from draws of the parameters.

        Parameters
        ----------
        places : sequence of Place
            The members of a set, over the same strengths of the set.
        level : float
            Share of draws inside.
        """
        generator = np.random.default_rng(0)
        drawn = generator.multivariate_normal(self.parameters, self.covariance, _DRAWS)
        means = np.stack(
            [np.mean([self._kept(one, place) for place in places], axis=0) for one in drawn]
        )
        means += generator.normal(0, self.noise / np.sqrt(len(places)), (_DRAWS, 1))
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return np.clip(low, 0, None), high

    def _kept(self, parameters: Array, place: Place) -> Array:
        at, alone = self.members.index(place.member), self.alone[place.member]
        kept = _law(parameters, at, len(self.members), alone.at, alone.floor, place)
        return np.where(np.asarray(place.strength) > alone.strongest, np.nan, kept)


def fit(alone: Mapping[str, Alone], observed: Sequence[tuple[Place, float]]) -> Interference:
    """What others do to each member, from merges that were made; few of them lean on what is usual.

    Parameters
    ----------
    alone : mapping of str to Alone
        Every member.
    observed : sequence of (Place, float)
        Where members stood in merges, and what they kept.

    Raises
    ------
    UndefinedError
        Nothing was observed, or a value is not finite.
    """
    from scipy.optimize import least_squares

    members = tuple(sorted(alone))
    kept = np.array([value for _, value in observed], dtype=float)
    if not len(kept):
        raise UndefinedError("interference", "no merge was observed")
    if not np.isfinite(kept).all():
        raise UndefinedError("interference", "a value of a merge is not finite")
    n = len(members)
    by_member = [
        (
            number,
            alone[label],
            Place(label, *np.array([[p.strength, p.others, p.load] for p, _ in mine]).T),
            np.array([value for _, value in mine]),
        )
        for number, label in enumerate(members)
        if (mine := [one for one in observed if one[0].member == label])
    ]

    def residuals(parameters: Array) -> Array:
        misses = [
            _law(parameters, at, n, one.at, one.floor, place) - values
            for at, one, place, values in by_member
        ]
        usual = (parameters[:3] - _COMMON[:, 0]) / _COMMON[:, 1]
        own = parameters[3:].reshape(2, n) / np.array(_MEMBER)[:, None]
        return np.concatenate([*misses, _NOISE * usual, _NOISE * own.ravel()])

    found = least_squares(residuals, np.concatenate([_COMMON[:, 0], np.zeros(2 * n)]))
    misses = residuals(found.x)[: len(kept)]
    noise = max(float(np.sqrt(np.mean(misses**2))), 1e-3)
    jacobian = np.asarray(found.jac)
    covariance = _NOISE**2 * np.linalg.inv(jacobian.T @ jacobian)
    return Interference(alone, members, found.x, covariance, noise)


def _law(
    parameters: Array,
    at: int,
    n: int,
    own: Callable[[Array | float], Array],
    floor: float,
    place: Place,
) -> Array:
    exponent, sensitivity, lift = np.exp(parameters[0]), parameters[1], parameters[2]
    harm = np.exp(sensitivity + parameters[3 + at]) * np.asarray(place.load, float) ** exponent
    lifted = place.strength + (lift + parameters[3 + n + at]) * np.asarray(place.others)
    kept: Array = floor + (own(lifted) - floor) / (1 + harm)
    return kept
