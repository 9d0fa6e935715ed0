"""What a member keeps at any strength: its own effect, lifted by the others and disturbed by them.

Alone, a member keeps own(s) at strength s. Beside others it keeps

    floor + (own(s + λ · t) - floor) / (1 + κ · load^e · s^b),

where t is the sum of the others' strengths and the load the squared size of the shifts that they
cause together on the member's samples, over that of its own shift. Its *lift* λ says how far the
others do what the member does itself: fine-tuned encoders leave their base in the same direction.
κ is its sensitivity; e and b are the family's exponents: e is near 1 and b near 0 where
disturbances add up like noise. All are fitted to a few merges that were made. Merges of one size
cannot tell lift from sensitivity: there is no lift then, and e is what is usual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.tables.strengths import Alone
from mergecast.typing import Array

#: What is likeliest before anything was measured, and how far it usually is from that: logarithm
#: of e, of all sensitivities, lift of all, b; then of one member. In units of what is kept, a
#: residual of `_NOISE` weighs as much as one such distance.
_COMMON = np.array([[0.35, 0.35], [-2.0, 2.0], [0.1, 0.15], [0.0, 2.0]])
#: The same of merges of one size: there is no lift, and e is as usual.
_ONE_SIZE = np.array([[0.25, 0.1], [-2.0, 2.0], [0.0, 1e-3], [0.0, 2.0]])
_MEMBER = (1.0, 0.1)
_NOISE = 0.05
#: Values of b from which the fit starts: it has several minima.
_POWERS = (0.0, 2.0)
#: Merges whose members have company that differs by less are of one size.
_SAME_SIZE = 0.5
#: A strength below it is as good as none.
_WEAKEST = 1e-3
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
    parameters : (4 + 2n,) array
        Logarithms of e and of all sensitivities, the lift of all, b; then each member's distances
        from common sensitivity and lift.
    covariance : (4 + 2n, 4 + 2n) array
        Of the parameters, given what was observed.
    noise : float
        Standard deviation of what a set keeps about the fit.
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

        They end at 0, and at 1 or the most that the members keep alone.

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
        means += generator.normal(0, self.noise, (_DRAWS, 1))
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
        most = np.mean([self.alone[place.member].kept.max() for place in places])
        return np.clip(low, 0, None), np.clip(high, None, max(most, 1.0))

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

    common, widths = _COMMON, np.array(_MEMBER)
    company = [float(place.others / place.strength) for place, _ in observed]
    if max(company) - min(company) < _SAME_SIZE:
        common, widths[1] = _ONE_SIZE, _ONE_SIZE[2, 1]

    def residuals(parameters: Array) -> Array:
        misses = [
            _law(parameters, at, n, one.at, one.floor, place) - values
            for at, one, place, values in by_member
        ]
        usual = (parameters[:4] - common[:, 0]) / common[:, 1]
        own = parameters[4:].reshape(2, n) / widths[:, None]
        return np.concatenate([*misses, _NOISE * usual, _NOISE * own.ravel()])

    usual = np.concatenate([common[:, 0], np.zeros(2 * n)])
    starts = [usual + np.eye(len(usual))[3] * power for power in _POWERS]
    found = min((least_squares(residuals, start) for start in starts), key=lambda one: one.cost)
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
    exponent, sensitivity, lift, power = np.exp(parameters[0]), *parameters[1:4]
    strength = np.asarray(place.strength, float)
    harm = np.exp(sensitivity + parameters[4 + at]) * np.asarray(place.load, float) ** exponent
    harm = harm * np.maximum(strength, _WEAKEST) ** power
    lifted = strength + (lift + parameters[4 + n + at]) * np.asarray(place.others)
    kept: Array = floor + (own(lifted) - floor) / (1 + harm)
    return kept
