"""Retention over strength for any set of a family's models, and the strength that keeps most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from mergecast.errors import UsageError
from mergecast.forecast.interference import Interference, Place, fit
from mergecast.tables.sets import join_members
from mergecast.tables.strengths import StrengthReadings
from mergecast.typing import Array

#: A set under a method: its best strength, what it keeps there in the mean, with a 90 % interval,
#: the member that keeps least, and what the set keeps at the default strength, NaN where that is
#: beyond what was measured.
STRENGTH_COLUMNS = [
    "method",
    "members",
    "strength",
    "kept",
    "low",
    "high",
    "worst_member",
    "worst_kept",
    "at_default",
    "default",
]
#: A point of a set's curve: what it keeps in the mean at a strength, with a 90 % interval.
CURVE_COLUMNS = ["method", "members", "strength", "kept", "low", "high"]
#: Points of a curve that is drawn.
_DRAWN = 24
#: Strengths of a curve, as shares of the strongest that all members were measured at.
_POINTS = 60
#: With fewer merges none is left out.
_FEW = 3
#: Standard deviations in a median of absolute deviations: leaving out the largest merge is far off.
_TO_DEVIATION = 1.4826


@dataclass(frozen=True)
class Curve:
    """What a set keeps over strength.

    Attributes
    ----------
    members : tuple of str
        The set, sorted.
    strengths : (m,) array
        Strengths of the set.
    kept : (members, m) array
        What each member keeps.
    low, high : (m,) array
        Ends of a 90 % interval of the mean.
    """

    members: tuple[str, ...]
    strengths: Array
    kept: Array
    low: Array
    high: Array

    @property
    def mean(self) -> Array:
        """What is kept in the mean of the members, (m,)."""
        mean: Array = self.kept.mean(axis=0)
        return mean

    @property
    def best(self) -> int:
        """Place of the strength that keeps most in the mean."""
        return int(self.mean.argmax())


class StrengthForecast:
    """Curves of one method in a family, from `StrengthReadings`; no merge is made any more.

    Parameters
    ----------
    readings : StrengthReadings
        Members alone, and a few merges. What a member keeps at more than the strongest that it was
        measured at alone says nothing of the law, and takes no part.
    """

    def __init__(self, readings: StrengthReadings) -> None:
        self.readings = readings
        self.method = readings.method

    @cached_property
    def interference(self) -> Interference:
        """What members do to each other, fitted; how far off, by merges that are left out."""
        alone = self.readings.alone
        groups: dict[tuple[str, ...], list[tuple[Place, float]]] = {}
        for one in self.readings.merges:
            if one.weights[one.member] * one.strength <= alone[one.member].strongest:
                place = self._place(one.member, one.weights, np.array(one.strength))
                groups.setdefault(tuple(one.weights), []).append((place, one.kept))
        fitted = fit(alone, [one for group in groups.values() for one in group])
        if len(groups) < _FEW:
            return fitted
        misses: list[float] = []
        for left, group in groups.items():
            others = [one for name, some in groups.items() if name != left for one in some]
            rest, by_strength = fit(alone, others), dict[float, list[float]]()
            for place, kept in group:
                miss = float(rest.kept(place)) - kept
                by_strength.setdefault(float(place.strength), []).append(miss)
            misses += [float(np.mean(some)) for some in by_strength.values()]
        return replace(fitted, noise=_TO_DEVIATION * float(np.median(np.abs(misses))))

    def curve(
        self, members: Sequence[str] | Mapping[str, float], strengths: Array | None = None
    ) -> Curve:
        """What a set keeps over strength.

        Parameters
        ----------
        members : sequence of str or mapping of str to float
            Labels, or labels to weights.
        strengths : (m,) array, optional
            By default as far as every member was measured alone. Beyond that it is NaN.

        Raises
        ------
        UsageError
            A label that the readings do not have, or no weight above zero.
        UndefinedError
            No merge was made, or one keeps what is not finite.
        """
        weights = self._weights(members)
        if strengths is None:
            strengths = np.linspace(0, self._strongest(weights), _POINTS + 1)[1:]
        places = [self._place(one, weights, strengths) for one in weights]
        kept = np.stack([self.interference.kept(place) for place in places])
        return Curve(tuple(weights), strengths, kept, *self.interference.interval(places))

    def table(self, size: int, default: float) -> pd.DataFrame:
        """Every set of a size with the strength that keeps most: rows of `STRENGTH_COLUMNS`.

        Parameters
        ----------
        size : int
            Members of a set.
        default : float
            The method's strength where nobody chooses.
        """
        rows = []
        for members in combinations(sorted(self.readings.alone), size):
            curve = self.curve(members)
            best, lowest = curve.best, int(curve.kept[:, curve.best].argmin())
            rows.append(
                (
                    self.method,
                    join_members(members),
                    float(curve.strengths[best]),
                    float(curve.mean[best]),
                    float(curve.low[best]),
                    float(curve.high[best]),
                    members[lowest],
                    float(curve.kept[lowest, best]),
                    float(self.curve(members, np.array([default])).mean[0]),
                    default,
                )
            )
        table = pd.DataFrame(rows, columns=STRENGTH_COLUMNS)
        return table.sort_values("kept", ascending=False, ignore_index=True)

    def points(self, members: Sequence[str]) -> pd.DataFrame:
        """A set's curve as it is drawn: rows of `CURVE_COLUMNS`, from a strength of 0."""
        top = self._strongest(self._weights(members))
        curve = self.curve(members, np.linspace(0, top, _DRAWN + 1))
        return pd.DataFrame(
            {
                "method": self.method,
                "members": join_members(curve.members),
                "strength": curve.strengths,
                "kept": curve.mean,
                "low": curve.low,
                "high": curve.high,
            }
        )

    def _weights(self, members: Sequence[str] | Mapping[str, float]) -> dict[str, float]:
        given = members if isinstance(members, Mapping) else dict.fromkeys(members, 1.0)
        for label in given:
            if label not in self.readings.alone:
                raise UsageError.unknown("model", label, self.readings.alone)
        if not any(weight > 0 for weight in given.values()):
            raise UsageError("weights", f"are {dict(given)}", "give one model at least one above 0")
        return {label: float(given[label]) for label in sorted(given)}

    def _place(self, member: str, weights: Mapping[str, float], strengths: Array) -> Place:
        others = sum(weights.values()) - weights[member]
        load = self.readings.load(member, weights) * strengths**2
        return Place(member, weights[member] * strengths, others * strengths, load)

    def _strongest(self, weights: Mapping[str, float]) -> float:
        alone = self.readings.alone
        return min(
            alone[label].strongest / weight for label, weight in weights.items() if weight > 0
        )
