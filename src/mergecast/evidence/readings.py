"""Numbers that metrics read by name, each of them there or missing with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mergecast.errors import MergecastError, UndefinedError
from mergecast.typing import Array

if TYPE_CHECKING:
    from torch import Tensor

#: What a number is of: the model it is about, the partner if there is one, then names.
Key = tuple[str, ...]


@dataclass(frozen=True)
class Readings:
    """Numbers of a family by what they are of.

    Attributes
    ----------
    values : mapping of tuple of str to float
        Key to number.
    missing : mapping of tuple of str to str
        Key to the reason why there is no number.
    note : str
        What a reader must know of how they were made.
    """

    values: Mapping[Key, float]
    missing: Mapping[Key, str]
    note: str = ""

    def value(self, *key: str) -> float:
        """One number; raises UndefinedError with the reason where there is none."""
        if key not in self.values:
            reason = self.missing.get(key, f"{' '.join(key[1:])} was not collected")
            raise UndefinedError(f"model {key[0]!r}", reason)
        return self.values[key]

    def pair(self, first: str, second: str) -> PairReadings:
        """Two models, the one affected first."""
        return PairReadings(self, (first, second))


@dataclass(frozen=True)
class PairReadings:
    """What is known of an ordered pair.

    Attributes
    ----------
    readings : Readings
        Of the family.
    labels : tuple of str
        The model affected, and its partner.
    """

    readings: Readings
    labels: tuple[str, str]

    def value(self, *names: str) -> float:
        """A number of the pair; raises UndefinedError."""
        return self.readings.value(*self.labels, *names)

    def alone(self, *names: str) -> float:
        """A number of the first model, whoever the partner is; raises UndefinedError."""
        return self.readings.value(self.labels[0], *names)

    def own(self, *names: str) -> float:
        """A number of the first model beside itself; raises UndefinedError."""
        return self.readings.value(self.labels[0], self.labels[0], *names)


@dataclass
class PairSums:
    """Sums over parameters for all ordered pairs of models: entry [i, j] is the effect on i of j.

    Attributes
    ----------
    members : tuple of str
        Labels of the N models.
    mutual : frozenset of Key
        Sums to which both models bring what was measured of them: a reason counts for columns.
    totals : dict of Key to (N, N) array
        Name, and method where it is about one, to the sums, float64.
    missing : dict of (Key, str) to str
        Name of a sum and the model whose row has no value (``""`` for all), to the reason.
    """

    members: tuple[str, ...]
    mutual: frozenset[Key] = frozenset()
    totals: dict[Key, Array] = field(default_factory=dict)
    missing: dict[tuple[Key, str], str] = field(default_factory=dict)

    def add(self, name: Key, rows: int | Sequence[int], values: Tensor | Array | float) -> None:
        """Add to one row, (N,), or to several, (rows, N), of a sum."""
        total = self.totals.setdefault(name, np.zeros((len(self.members), len(self.members))))
        total[rows] += np.asarray(values, dtype=np.float64)

    def readings(self) -> Readings:
        """The finished sums by model, partner and name.

        Raises MergecastError where one is not finite and has no reason.
        """
        values: dict[Key, float] = {}
        missing: dict[Key, str] = {}
        for name in {*self.totals, *(name for name, _ in self.missing)}:
            for i, first in enumerate(self.members):
                for j, second in enumerate(self.members):
                    key = (first, second, *name)
                    if reason := self._reason(first, second, name):
                        missing[key] = reason
                        continue
                    values[key] = float(self.totals[name][i, j])
                    if not np.isfinite(values[key]):
                        raise MergecastError(
                            f"model {first!r}",
                            f"its interference {' of '.join(name)} is not finite",
                            "leave this model out, or fetch it again",
                        )
        return Readings(values, missing)

    def _reason(self, first: str, second: str, name: Key) -> str:
        about = (first, second, "") if name in self.mutual else (first, "")
        return next((r for label in about if (r := self.missing.get((name, label)))), "")
