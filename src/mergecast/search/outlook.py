"""The merges that may still be the best, and what they may be worth."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mergecast.search.beliefs import Beliefs
from mergecast.search.objective import Objective
from mergecast.search.policy import draws_of
from mergecast.typing import Floats

_DRAWS = 400


@dataclass(frozen=True)
class Outlook:
    """The merges that may be the best.

    Attributes
    ----------
    short : (c,) array of int
        Their places.
    value : (c,) array
        What they are worth if each member keeps what is believed.
    utilities : (s, c) array
        Draws of what they are worth.
    covariance : (c, c) array
        Of the beliefs about that.
    slopes : (c, r) array
        How what a merge is worth changes with what each row of `rows` keeps.
    rows : (r,) array of int
        Their members' rows.
    told : (n, c) array
        What was measured tells of what they are worth, as `Beliefs.told`.
    """

    short: npt.NDArray[np.intp]
    value: Floats
    utilities: Floats
    covariance: Floats
    slopes: Floats
    rows: npt.NDArray[np.intp]
    told: Floats

    @classmethod
    def of(
        cls,
        beliefs: Beliefs,
        objective: Objective,
        short: npt.NDArray[np.intp],
        members: Sequence[Sequence[str]],
        seed: int,
    ) -> Outlook:
        """From beliefs about all merges, by draws of what each member keeps.

        Parameters
        ----------
        beliefs : Beliefs
            About all merges.
        objective : Objective
            What they are worth by.
        short : (c,) array of int
            Places of the merges that may be the best, sorted.
        members : sequence of sequence of str
            Their members.
        seed : int
            Of the draws.
        """
        rows = np.flatnonzero(np.isin(beliefs.rows.merge, short))
        merge = beliefs.rows.merge[rows]
        joint = beliefs.joint(rows)
        draws = draws_of(beliefs.mean[rows], joint, _DRAWS, seed)
        value, utilities = np.empty(len(short)), np.empty((_DRAWS, len(short)))
        slopes = np.zeros((len(short), len(rows)))
        for column, (place, names) in enumerate(zip(short, members, strict=True)):
            mine = merge == place
            value[column] = objective.utility(names, beliefs.mean[rows[mine]])
            utilities[:, column] = objective.utility(names, draws[:, mine])
            slopes[column, mine] = _slopes(objective, names, draws[:, mine])
        told = beliefs.told(rows, slopes)
        return cls(short, value, utilities, slopes @ joint @ slopes.T, slopes, rows, told)

    @property
    def mean(self) -> Floats:
        """Of what they are worth, over draws."""
        return np.asarray(self.utilities.mean(axis=0))

    def best(self, among: Container[int]) -> int | None:
        """The column of the merge that is thought best, of some places; None where none is here."""
        columns = [one for one, place in enumerate(self.short.tolist()) if place in among]
        return max(columns, key=lambda one: (self.value[one], -one), default=None)

    def moved(self, columns: npt.NDArray[np.intp], noise: Floats, beside: Floats) -> Floats:
        """How far looks at merges will move what all of them are thought worth, (c, o).

        Standard deviations, with their signs.

        Parameters
        ----------
        columns : (o,) array of int
            Which merges are looked at.
        noise : (o,) array
            Variance of the noise of what each look says a merge is worth.
        beside : (n, o) array
            Covariance of that with the noise of what was measured, as `Beliefs.freed` gives it.
        """
        change = self.covariance[:, columns] - self.told.T @ beside
        spread = np.diag(self.covariance)[columns] + noise
        spread -= ((2 * self.told[:, columns] + beside) * beside).sum(axis=0)
        # How alike noise is, is in part assumed; no look tells more than there is to know.
        least = (change**2 / np.maximum(np.diag(self.covariance), 1e-18)[:, None]).max(axis=0)
        return np.asarray(change / np.sqrt(np.maximum(spread, np.maximum(least, 1e-18))))

    def after(self, moved: Floats) -> Outlook:
        """The same once a look will have moved what merges are thought worth so far, (c,)."""
        return replace(self, covariance=self.covariance - np.outer(moved, moved))


def _slopes(objective: Objective, members: Sequence[str], draws: Floats) -> Floats:
    """How the utility changes with what each member keeps, the mean over draws, (k,)."""
    step = 1e-4
    now = objective.utility(members, draws)
    slopes = np.empty(len(members))
    for column in range(len(members)):
        moved = draws.copy()
        moved[:, column] += step
        slopes[column] = (objective.utility(members, moved) - now).mean() / step
    return slopes
