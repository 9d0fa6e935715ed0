"""Retention over strength for any set of a family's models, and the strength that keeps most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from mergecast.errors import UsageError
from mergecast.forecast.interference import Interference, Place, fit
from mergecast.tables.sets import join_members
from mergecast.tables.strengths import StrengthReadings
from mergecast.typing import Array

Objective = Literal["mean", "worst"]
#: Strengths of a curve, as shares of the strongest that all members were measured at.
_POINTS = 60
#: How far a model's weight may be from the others', as a factor.
_FARTHEST = 4.0


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
        Members alone, and a few merges.

    Raises
    ------
    UndefinedError
        No merge was made, or one keeps what is not finite.
    """

    def __init__(self, readings: StrengthReadings) -> None:
        self.readings = readings
        self.method = readings.method

    @cached_property
    def interference(self) -> Interference:
        """What members do to each other, fitted."""
        readings = self.readings
        observed = [
            (self._place(one.member, one.weights, np.array(one.strength)), one.kept)
            for one in readings.merges
            if one.weights[one.member] * one.strength <= readings.alone[one.member].strongest
        ]
        return fit(readings.alone, observed)

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
        """
        weights = self._weights(members)
        if strengths is None:
            strengths = np.linspace(0, self._strongest(weights), _POINTS + 1)[1:]
        places = [self._place(one, weights, strengths) for one in weights]
        kept = np.stack([self.interference.kept(place) for place in places])
        return Curve(tuple(weights), strengths, kept, *self.interference.interval(places))

    def best_weights(
        self, members: Sequence[str], objective: Objective = "mean"
    ) -> tuple[dict[str, float], float]:
        """Weights, one in the mean, and the strength that keep most; found on stored numbers.

        Parameters
        ----------
        members : sequence of str
            Labels.
        objective : {"mean", "worst"}
            What is made as large as can be: the mean of what members keep, or the least.
        """
        from scipy.optimize import minimize

        equal = self._weights(members)
        labels, curve = list(equal), self.curve(equal)
        start = float(curve.strengths[curve.best])

        def loss(logs: Array) -> float:
            weights = dict(zip(labels, start * np.exp(logs), strict=True))
            kept = [
                self.interference.kept(self._place(one, weights, np.array(1.0))) for one in labels
            ]
            finite = np.nan_to_num(np.array(kept), nan=0.0)
            return -float(finite.mean() if objective == "mean" else finite.min())

        bound = np.log(_FARTHEST)
        found = minimize(
            loss,
            np.zeros(len(labels)),
            method="COBYQA",
            bounds=[(-bound, bound)] * len(labels),
            options={"maxfev": 100 * len(labels)},
        )
        strengths = start * np.exp(found.x)
        mean = float(strengths.mean())
        return dict(zip(labels, (strengths / mean).tolist(), strict=True)), mean

    def table(self, size: int, default: float | None = None) -> pd.DataFrame:
        """Every set of a size with its best strength, what it keeps there, and at the default.

        Columns: method, members, strength, kept, low, high, worst, at_default (NaN beyond the
        strengths measured).
        """
        rows = []
        for members in combinations(sorted(self.readings.alone), size):
            curve = self.curve(members)
            best = curve.best
            row: dict[str, Any] = {
                "method": self.method,
                "members": join_members(members),
                "strength": float(curve.strengths[best]),
                "kept": float(curve.mean[best]),
                "low": float(curve.low[best]),
                "high": float(curve.high[best]),
                "worst": float(curve.kept[:, best].min()),
                "at_default": np.nan,
            }
            if default is not None:
                row["at_default"] = float(self.curve(members, np.array([default])).mean[0])
            rows.append(row)
        return pd.DataFrame(rows).sort_values("kept", ascending=False, ignore_index=True)

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
