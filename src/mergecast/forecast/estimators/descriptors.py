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

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mergecast.forecast.estimators.scaling import standardisation
from mergecast.forecast.rows import names_models
from mergecast.typing import Floats

Names = npt.NDArray[np.str_]

# Variances below this share of a standardised metric's are rounding.
_FLOOR = 1e-9


@dataclass(frozen=True)
class Parts:
    """Rows seen through their two models; both parts in units of their spread in training.

    Attributes
    ----------
    member, partner : ndarray of shape (n,)
        Names, with the suite in front; ``""`` where rows do not name models.
    own, other : ndarray of shape (n, p)
        Descriptors of the member and of the partner.
    """

    member: Names
    partner: Names
    own: Floats
    other: Floats


@dataclass(frozen=True)
class Descriptors:
    """The split of p metrics, learned on training rows of m models.

    Attributes
    ----------
    models : ndarray of shape (m,)
        Names, sorted; empty where rows name none.
    mean, scale : ndarray of shape (p,)
        Standardisation of the metrics; the scale of a constant one is inf.
    own, other : ndarray of shape (m, p)
        The models' parts of the standardised metrics.
    shrink_own, shrink_other : ndarray of shape (p,)
        Noise by variance of a part.
    own_mean, own_scale, other_mean, other_scale : ndarray of shape (p,)
        Standardisation of the parts of the training rows.
    """

    models: Names
    mean: Floats
    scale: Floats
    own: Floats
    other: Floats
    shrink_own: Floats
    shrink_other: Floats
    own_mean: Floats
    own_scale: Floats
    other_mean: Floats
    other_scale: Floats

    @classmethod
    def of_rows(cls, X: Floats, member: Names, partner: Names) -> Self:
        """Split metrics X (n, p) by the models of each row.

        Without names (all ``""``) nothing can be split: a row's metrics are its own part.
        """
        mean, scale = standardisation(X)
        Z, p = (X - mean) / scale, X.shape[1]
        models = np.unique(np.concatenate([member, partner]))
        empty, zeros = np.zeros((0, p)), np.zeros(p)
        own, other, shrink_own, shrink_other = empty, empty, zeros, zeros
        if np.any(member != ""):
            own, other, shrink_own, shrink_other = _split(Z, member, partner, models)
        else:
            models = models[:0]
        split = cls(
            models, mean, scale, own, other, shrink_own, shrink_other, zeros, zeros, zeros, zeros
        )
        own_part, other_part = split._raw(Z, member, partner)
        own_mean, own_scale = standardisation(own_part)
        other_mean, other_scale = standardisation(other_part)
        return replace(
            split,
            own_mean=own_mean,
            own_scale=own_scale,
            other_mean=other_mean,
            other_scale=other_scale,
        )

    def parts(self, X: Floats, member: Names, partner: Names) -> Parts:
        """The rows of one call, as one family; shapes as in `Parts`."""
        own, other = self._raw((X - self.mean) / self.scale, member, partner)
        return self._scaled(own, other, member, partner)

    def of_models(self) -> tuple[Floats, Floats]:
        """Own and partner descriptors of `models`, (m, p) each, in the units of `Parts`."""
        parts = self._scaled(self.own, self.other, self.models, self.models)
        return parts.own, parts.other

    def _scaled(self, own: Floats, other: Floats, member: Names, partner: Names) -> Parts:
        return Parts(
            member,
            partner,
            (own - self.own_mean) / self.own_scale,
            (other - self.other_mean) / self.other_scale,
        )

    def _raw(self, Z: Floats, member: Names, partner: Names) -> tuple[Floats, Floats]:
        if not len(self.models):
            return Z, np.zeros_like(Z)
        new = np.setdiff1d(np.concatenate([member, partner]), self.models)
        models = np.concatenate([self.models, new])
        order = {name: k for k, name in enumerate(models.tolist())}
        i = np.array([order[name] for name in member.tolist()])
        j = np.array([order[name] for name in partner.tolist()])
        unknown = np.zeros((len(new), Z.shape[1]))
        own, other = np.vstack([self.own, unknown]), np.vstack([self.other, unknown])
        if len(new):
            design = _indicators(member, partner, new)
            gram, moment = design.T @ design, design.T @ (Z - own[i] - other[j])
            ridge = np.repeat([self.shrink_own, self.shrink_other], len(new), axis=0).T
            systems = gram[None] + ridge[:, :, None] * np.eye(2 * len(new))[None]
            effects = np.linalg.solve(systems, moment.T[:, :, None])[:, :, 0].T
            own[len(self.models) :] = effects[: len(new)]
            other[len(self.models) :] = effects[len(new) :]
        return own[i], other[j]


def model_names(X: Any, n: int) -> tuple[Names, Names]:
    """Member and partner of each of n rows, suite in front; ``""`` without identity columns."""
    if not names_models(X):
        return np.full(n, ""), np.full(n, "")
    suite = X["suite"].to_numpy(dtype=str)
    names = [
        np.array([f"{s}\t{m}" for s, m in zip(suite, X[side].to_numpy(dtype=str), strict=True)])
        for side in ("member", "partner")
    ]
    return names[0], names[1]


def _split(
    Z: Floats, member: Names, partner: Names, models: Names
) -> tuple[Floats, Floats, Floats, Floats]:
    """Both parts of each model, and by how much those of a new one would be shrunken."""
    n = len(models)
    design = _indicators(member, partner, models)
    # A trace of a ridge: the mean of one part can move into the other.
    gram = design.T @ design + 1e-6 * np.eye(2 * n)
    effects = np.asarray(np.linalg.solve(gram, design.T @ Z), dtype=np.float64)
    rest = Z - design @ effects
    own, other = effects[:n], effects[n:]
    freedom = max(len(Z) - 2 * n, 1)
    noise = (rest**2).sum(axis=0) / freedom + _FLOOR
    shrink = [noise / (part.var(axis=0) + _FLOOR) for part in (own, other)]
    return own - own.mean(axis=0), other - other.mean(axis=0), shrink[0], shrink[1]


def _indicators(member: Names, partner: Names, models: Names) -> Floats:
    """(n, 2 m): which of m models is the member, and which is the partner, of each row."""
    sides = [side[:, None] == models[None] for side in (member, partner)]
    return np.hstack(sides).astype(np.float64)
