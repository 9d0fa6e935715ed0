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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mergecast.forecast.estimators.scaling import standardisation
from mergecast.forecast.rows import names_models
from mergecast.typing import Floats

Names = npt.NDArray[np.str_]

# Stored by name: the standardisation of the metrics, the parts of the models, their shrinkage.
_STATE = ("mean", "scale", "own", "other", "shrink_own", "shrink_other")

# Variances below this share of a standardised metric's are rounding.
_FLOOR = 1e-9


@dataclass(frozen=True)
class Parts:
    """Rows seen through their two models; both parts in units of their spread in training.

    Attributes
    ----------
    member, partner : str or sequence of str
        (n,) names, with the suite in front; ``""`` where rows do not name models.
    own, other : ndarray of shape (n, p)
        Descriptors of the member and of the partner.
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
        models = np.unique(np.concatenate([member, partner]))
        self._models = models if self._named else models[:0]
        p = X.shape[1]
        self._own: Floats = np.zeros((0, p))
        self._other: Floats = np.zeros((0, p))
        self._shrink_own: Floats = np.zeros(p)
        self._shrink_other: Floats = np.zeros(p)
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

    @property
    def models(self) -> Names:
        """(m,) names of the models of the training rows, sorted; empty where rows name none."""
        return self._models

    def of_models(self) -> tuple[Floats, Floats]:
        """Own and partner descriptors of `models`, (m, p) each, in the units of `Parts`."""
        (own_mean, own_scale), (mean, scale) = self._own_stats, self._other_stats
        return (self._own - own_mean) / own_scale, (self._other - mean) / scale

    def to_dict(self) -> dict[str, Any]:
        """Plain data: all that `parts` needs but the names of `models`.

        Vectors of p numbers, and `own` and `other` of (m, p). The scale of a constant metric is
        infinite, which JSON cannot hold: None.
        """
        state = {key: getattr(self, f"_{key}") for key in _STATE}
        for part, stats in (("own", self._own_stats), ("other", self._other_stats)):
            state |= {f"{part}_mean": stats[0], f"{part}_scale": stats[1]}
        scales = {k: [_finite(s) for s in v] for k, v in state.items() if k.endswith("scale")}
        return {key: values.tolist() for key, values in state.items()} | scales

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], models: Names) -> Self:
        """What `to_dict` gave, of the same models."""
        found = cls.__new__(cls)
        found._models, found._named = models, bool(len(models))
        p = len(data["mean"])
        for key in _STATE:
            values = np.array([np.inf if v is None else v for v in data[key]], dtype=np.float64)
            matrix = key in ("own", "other")
            setattr(found, f"_{key}", values.reshape(len(models), p) if matrix else values)
        for part in ("own", "other"):
            mean, scale = data[f"{part}_mean"], data[f"{part}_scale"]
            spread = np.array([np.inf if s is None else s for s in scale], dtype=np.float64)
            setattr(found, f"_{part}_stats", (np.asarray(mean, dtype=np.float64), spread))
        return found

    def _split(self, Z: Floats, member: Names, partner: Names) -> None:
        n = len(self._models)
        design = _indicators(member, partner, self._models)
        # A trace of a ridge: the mean of one part can move into the other.
        gram = design.T @ design + 1e-6 * np.eye(2 * n)
        effects = np.asarray(np.linalg.solve(gram, design.T @ Z), dtype=np.float64)
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
    if not names_models(X):
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


def _finite(scale: float) -> float | None:
    return float(scale) if np.isfinite(scale) else None
