"""When a search ends, and what it did: plain data."""

from __future__ import annotations

from dataclasses import dataclass

from mergecast.search.candidates import Candidate
from mergecast.search.judge import Seen

#: Why a search ended.
KNOWN = "the best is known"
IDLE = "no further measurement is expected to gain anything"
MEASURED = "every merge that may be the best is fully measured"
SPENT = "the budget of measurements is spent"
OVER = "the time is over"


@dataclass(frozen=True)
class Limits:
    """When a search ends.

    Attributes
    ----------
    epsilon : float
        What one merge may be better than the chosen one without it mattering.
    confidence : float
        The probability that none is, at which the search ends.
    looks : int or None
        Measurements at most.
    deadline : float or None
        Of `time.monotonic`, after which none is begun.
    """

    epsilon: float = 0.005
    confidence: float = 0.9
    looks: int | None = None
    deadline: float | None = None


@dataclass(frozen=True)
class Step:
    """One measurement, and what was believed after it.

    Attributes
    ----------
    candidate : Candidate
        What was measured.
    seen : Seen
        What it was seen to keep, all its samples together.
    cost : float
        Forward passes that it took.
    best : Candidate
        The merge that was then thought best, of those that were measured.
    value : float
        What the objective was then thought to be for it.
    certainty : float
        The probability that none is better by what matters.
    """

    candidate: Candidate
    seen: Seen
    cost: float
    best: Candidate
    value: float
    certainty: float
