"""What the chosen merge keeps on samples, or by a scorer, that the search never touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mergecast.search.judge import Seen, half_width
from mergecast.search.objective import Objective
from mergecast.typing import Floats

_DRAWS = 4000


@dataclass(frozen=True)
class Verified:
    """What a merge keeps, on untouched samples.

    Attributes
    ----------
    members : tuple of str
        Labels.
    kept, lower, upper : (k,) array
        Of every member, and its interval.
    value, stderr : float
        The objective, and its standard error.
    interval : tuple of float
        Of the objective.
    samples : int
        Samples a member, at least.
    level : float
        Nominal level of the intervals.
    """

    members: tuple[str, ...]
    kept: Floats
    lower: Floats
    upper: Floats
    value: float
    stderr: float
    interval: tuple[float, float]
    samples: int
    level: float


@dataclass(frozen=True)
class Scored:
    """What a merge keeps by a scorer that the search never asked.

    It gives one number a model, of samples of its own: there is no interval.

    Attributes
    ----------
    members : tuple of str
        Labels.
    own, merged : (k,) array
        Of every member on its task: the scores of its own model and of the merge.
    kept : (k,) array
        The second over the first.
    value : float
        The objective.
    by : str
        The command, or the name of the function.
    """

    members: tuple[str, ...]
    own: Floats
    merged: Floats
    kept: Floats
    value: float
    by: str


def verify(
    members: Sequence[str],
    merged: Sequence[Floats],
    single: Sequence[Floats],
    objective: Objective,
    level: float = 0.9,
) -> Verified:
    """What members keep by the scores of samples, of the merge and of their own models.

    Parameters
    ----------
    members : sequence of str
        Labels.
    merged, single : sequence of (n,) array
        Scores of every member's samples, in one order.
    objective : Objective
        What is sought.
    level : float
        Of the intervals.
    """
    return verified(members, Seen.of(merged, single), objective, level)


def verified(
    members: Sequence[str], seen: Seen, objective: Objective, level: float = 0.9
) -> Verified:
    """The same from what members were seen to keep."""
    value = float(objective.value(members, seen.kept))
    points = np.random.default_rng(0).standard_normal((_DRAWS, len(members)))
    draws = objective.value(members, seen.kept + points * np.sqrt(seen.variance))
    # The least of several noisy numbers is lower than the least of what they estimate.
    bias = float(draws.mean()) - value
    stderr = float(draws.std())
    reach = half_width(level) * stderr
    return Verified(
        tuple(members),
        seen.kept,
        *seen.interval(level),
        value - bias,
        stderr,
        (max(value - bias - reach, 0.0), value - bias + reach),
        min(seen.counts),
        level,
    )


def scored(
    own: Mapping[str, float], merged: Mapping[str, float], objective: Objective, by: str
) -> Scored:
    """What members keep by scores of the merge and of their own models.

    Parameters
    ----------
    own, merged : mapping of str to float
        Label of every member to its score; the first are above 0.
    objective : Objective
        What is sought.
    by : str
        Who gave the scores.
    """
    members = tuple(own)
    alone = np.array([own[label] for label in members])
    together = np.array([merged[label] for label in members])
    kept = together / alone
    value = float(objective.value(members, kept))
    return Scored(members, alone, together, kept, value, by)
