"""What a member keeps at any strength: its own effect, less what the others' shifts take of it.

Alone, a member keeps own(s) at strength s. Beside others it keeps

    floor + (own(s) - floor) / (1 + κ · load^e),

where the load is the squared size of the shifts that the others cause together on its samples, at
their strengths, over that of its own shift; κ is the member's sensitivity and e the family's
exponent. Both are fitted to a few merges that were made. So a signal stands in a noise whose
power grows with the number of models and their strengths; e is near 1 where powers add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.typing import Array

if TYPE_CHECKING:
    from scipy.interpolate import PchipInterpolator

#: Logarithms that are likeliest before anything was measured, and how far they usually are from
#: it: of the exponent, of sensitivities together, of one member's. In units of what is kept, a
#: residual of `_NOISE` weighs as much as one such distance.
_EXPONENT = (0.0, 0.3)
_SENSITIVITY = (-1.0, 3.0)
_MEMBER = 1.0
_NOISE = 0.05
#: Draws of what was fitted, for intervals.
_DRAWS = 200


@dataclass(frozen=True)
class Alone:
    """What a member keeps alone over the strength of its task vector.

    Attributes
    ----------
    strengths, kept : (n,) array
        Strengths from 0 up, and what is kept at each.
    floor : float
        What is kept where nothing is left of the model: chance.
    """

    strengths: Array
    kept: Array
    floor: float

    @cached_property
    def _curve(self) -> PchipInterpolator:
        from scipy.interpolate import PchipInterpolator

        return PchipInterpolator(self.strengths, self.kept, extrapolate=False)

    def at(self, strength: Array | float) -> Array:
        """What is kept at a strength; NaN beyond the strongest that was measured."""
        kept: Array = self._curve(strength)
        return kept


@dataclass(frozen=True)
class Observed:
    """What a member kept in a merge that was made.

    Attributes
    ----------
    member : str
        Label.
    strength : float
        Of its task vector.
    load : float
        Of the others, at their strengths.
    kept : float
        What it kept.
    """

    member: str
    strength: float
    load: float
    kept: float


@dataclass(frozen=True)
class Interference:
    """What others' shifts take from every member of a family, fitted.

    Attributes
    ----------
    alone : mapping of str to Alone
        Every member.
    members : tuple of str
        In the order of `parameters`.
    parameters : (2 + n,) array
        Logarithms: the exponent, the sensitivities' centre, each member's distance from it.
    covariance : (2 + n, 2 + n) array
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

    def sensitivity(self, member: str) -> float:
        """What a load of 1 does to a member."""
        place = 2 + self.members.index(member)
        return float(np.exp(self.parameters[1] + self.parameters[place]))

    def kept(self, member: str, strength: Array | float, load: Array | float) -> Array:
        """What a member keeps; NaN beyond the strengths measured alone."""
        return _kept(self.parameters, self._place(member), self.alone[member], strength, load)

    def interval(
        self, terms: Sequence[tuple[str, Array, Array]], level: float = 0.9
    ) -> tuple[Array, Array]:
        """Ends of an interval of the mean of several members, from draws of the parameters.

        Parameters
        ----------
        terms : sequence of (str, array, array)
            Member, its strengths (m,) and the loads (m,).
        level : float
            Share of draws inside.
        """
        generator = np.random.default_rng(0)
        drawn = generator.multivariate_normal(self.parameters, self.covariance, _DRAWS)
        means = np.stack(
            [
                np.mean(
                    [
                        _kept(one, self._place(member), self.alone[member], strength, load)
                        for member, strength, load in terms
                    ],
                    axis=0,
                )
                for one in drawn
            ]
        )
        means += generator.normal(0, self.noise / np.sqrt(len(terms)), (_DRAWS, 1))
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return np.clip(low, 0, None), high

    def _place(self, member: str) -> int:
        return self.members.index(member)


def fit(alone: Mapping[str, Alone], observed: Sequence[Observed]) -> Interference:
    """What others' shifts take, from merges that were made; few of them lean on what is usual.

    Raises
    ------
    UndefinedError
        Nothing was observed, or a value is not finite.
    """
    from scipy.optimize import least_squares

    members = tuple(sorted(alone))
    values = np.array([[one.strength, one.load, one.kept] for one in observed], dtype=float)
    if not len(values):
        raise UndefinedError("interference", "no merge was observed")
    if not np.isfinite(values).all():
        raise UndefinedError("interference", "a value of a merge is not finite")
    places = [members.index(one.member) for one in observed]
    own = [float(alone[one.member].at(one.strength)) for one in observed]
    floors = [alone[one.member].floor for one in observed]

    def residuals(parameters: Array) -> Array:
        exponent, centre, apart = np.exp(parameters[0]), parameters[1], parameters[2:]
        harm = np.exp(centre + apart[places]) * values[:, 1] ** exponent
        kept = floors + (np.array(own) - floors) / (1 + harm)
        usual = [
            (parameters[0] - _EXPONENT[0]) / _EXPONENT[1],
            (centre - _SENSITIVITY[0]) / _SENSITIVITY[1],
            *(apart / _MEMBER),
        ]
        return np.concatenate([kept - values[:, 2], _NOISE * np.array(usual)])

    start = np.concatenate([[_EXPONENT[0], _SENSITIVITY[0]], np.zeros(len(members))])
    found = least_squares(residuals, start)
    misses = residuals(found.x)[: len(values)]
    noise = max(float(np.sqrt(np.mean(misses**2))), 1e-3)
    covariance = _NOISE**2 * np.linalg.inv(found.jac.T @ found.jac)
    return Interference(alone, members, found.x, covariance, noise)


def _kept(
    parameters: Array, place: int, alone: Alone, strength: Array | float, load: Array | float
) -> Array:
    exponent = np.exp(parameters[0])
    harm = np.exp(parameters[1] + parameters[2 + place]) * np.asarray(load, dtype=float) ** exponent
    kept: Array = alone.floor + (alone.at(strength) - alone.floor) / (1 + harm)
    return kept
