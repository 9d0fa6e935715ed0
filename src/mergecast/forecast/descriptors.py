"""What metrics of pairs say about single models: own part, partner part, interaction.

A pairwise metric is a mixture. Each metric is split as m(i | j) = mean + own_i + partner_j + rest:
`own_i` is what it says of the member whatever the partner, `partner_j` of the partner whatever the
member. For a symmetric metric the two are equal. No outcome is read.

A model that was not in training gets its parts from the rows that it has, shrunken by how much of
the metric's variance the parts hold (best linear unbiased prediction): its 19 pairs with known
models nearly determine them, one pair with another new model says little, and is split evenly.
The descriptors of new models therefore come from *all* rows of one call of `parts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mergecast.forecast.design import IDENTITY
from mergecast.forecast.linear import Floats, standardisation

Names = npt.NDArray[np.str_]

# Variances below this share of a standardised metric's are rounding.
_FLOOR = 1e-9


@dataclass(frozen=True)
class Parts:
    """Rows seen through their two models; both parts in units of their spread in training.

    Attributes
    ----------
    member, partner : (n,) names, with the suite in front; ``""`` where rows do not name models.
    own, other : (n, p) descriptors of the member and of the partner.
    """

    member: Names
    partner: Names
    own: Floats
    other: Floats


class Descriptors:
    """The split of p metrics, learned on training rows."""

    def __init__(self, X: Floats, member: Names, partner: Names) -> None:
        """Split metrics X (n, p) by the models of each row.

        Without names (all ``""``) nothing can be split: a row's metrics are its own part.
        """
        self._mean, self._scale = standardisation(X)
        self._named = bool(np.any(member != ""))
        self._models = np.unique(np.concatenate([member, partner]))
        Z = (X - self._mean) / self._scale
        if self._named:
            self._split(Z, member, partner)
        own, other = self._raw(Z, member, partner)
        self._own_stats, self._other_stats = standardisation(own), standardisation(other)

    def parts(self, X: Floats, member: Names, partner: Names) -> Parts:
        """The rows of one call, as one family; shapes as in `Parts`."""
        own, other = self._raw((X - self._mean) / self._scale, member, partner)
        scaled = [
            (values - mean) / scale
            for values, (mean, scale) in ((own, self._own_stats), (other, self._other_stats))
        ]
        return Parts(member, partner, scaled[0], scaled[1])

    def _split(self, Z: Floats, member: Names, partner: Names) -> None:
        n = len(self._models)
        design = _indicators(member, partner, self._models)
        # A trace of a ridge: the mean of one part can move into the other.
        gram = design.T @ design + 1e-6 * np.eye(2 * n)
        effects = np.linalg.solve(gram, design.T @ Z)
        rest = Z - design @ effects
        self._own, self._other = effects[:n], effects[n:]
        freedom = max(len(Z) - 2 * n, 1)
        noise = (rest**2).sum(axis=0) / freedom + _FLOOR
        self._shrink_own = noise / (self._own.var(axis=0) + _FLOOR)
        self._shrink_other = noise / (self._other.var(axis=0) + _FLOOR)
        self._own = self._own - self._own.mean(axis=0)
        self._other = self._other - self._other.mean(axis=0)

    def _raw(self, Z: Floats, member: Names, partner: Names) -> tuple[Floats, Floats]:
        if not self._named:
            return Z, np.zeros_like(Z)
        new = np.setdiff1d(np.concatenate([member, partner]), self._models)
        models = np.concatenate([self._models, new])
        order = {name: k for k, name in enumerate(models.tolist())}
        i = np.array([order[name] for name in member.tolist()])
        j = np.array([order[name] for name in partner.tolist()])
        unknown = np.zeros((len(new), Z.shape[1]))
        own, other = np.vstack([self._own, unknown]), np.vstack([self._other, unknown])
        if len(new):
            design = _indicators(member, partner, new)
            gram, moment = design.T @ design, design.T @ (Z - own[i] - other[j])
            ridge = np.repeat([self._shrink_own, self._shrink_other], len(new), axis=0).T
            systems = gram[None] + ridge[:, :, None] * np.eye(2 * len(new))[None]
            effects = np.linalg.solve(systems, moment.T[:, :, None])[:, :, 0].T
            own[len(self._models) :] = effects[: len(new)]
            other[len(self._models) :] = effects[len(new) :]
        return own[i], other[j]


def model_names(X: Any, n: int) -> tuple[Names, Names]:
    """Member and partner of each of n rows, suite in front; ``""`` without identity columns."""
    if not isinstance(X, pd.DataFrame) or not set(IDENTITY) <= set(X.columns):
        return np.full(n, ""), np.full(n, "")
    suite = X["suite"].to_numpy(dtype=str)
    names = [
        np.array([f"{s}\t{m}" for s, m in zip(suite, X[side].to_numpy(dtype=str), strict=True)])
        for side in ("member", "partner")
    ]
    return names[0], names[1]


def _indicators(member: Names, partner: Names, models: Names) -> Floats:
    """(n, 2 m): which of m models is the member, and which is the partner, of each row."""
    sides = [side[:, None] == models[None] for side in (member, partner)]
    return np.hstack(sides).astype(np.float64)
