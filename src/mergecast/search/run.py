"""The search: measure where it pays most, until the best merge is known or the budget is spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.search.beliefs import Beliefs, Rows
from mergecast.search.candidates import Pool, Priced
from mergecast.search.judge import Judge, Seen
from mergecast.search.noise import Noise
from mergecast.search.objective import Objective
from mergecast.search.outlook import Outlook
from mergecast.search.policy import certainty, expected_gains
from mergecast.search.steps import IDLE, KNOWN, MEASURED, OVER, SPENT, Limits, Step
from mergecast.typing import Floats

#: Merges that are kept of all that could be made, by what is believed of them before.
MOST = 3000
#: Merges that may still be the best, which the next measurement is chosen among.
_SHORT = 100
#: How far above its mean, in standard deviations, a merge counts as one that may be the best.
_HOPE = 1.5
#: A measurement is planned so many looks ahead: one look alone may be too short to decide.
_AHEAD = 3
#: A measurement that is expected to gain less than this part of what matters is idle, and after so
#: many that were, none is made.
_GAIN, _IDLE = 0.05, 3


class Refine(Protocol):
    """Prices merges near one: other strengths and weights of the same models and method."""

    def __call__(self, priced: Priced, /) -> Sequence[Priced]:
        """Merges near one, none where there are none."""


@dataclass(frozen=True)
class Look:
    """A further look at a merge: at `column` of an outlook, with what `Noise.ahead` says of it."""

    column: int
    noise: float
    beside: Floats
    cost: float


@dataclass
class Search:
    """A search over a pool of merges.

    Attributes
    ----------
    pool : Pool
        What may be made.
    objective : Objective
        What is sought.
    judge : Judge
        Who measures.
    limits : Limits
        When it ends.
    seed : int
        Of the draws that decide; the same seed gives the same search, unless time ends it.
    refine : callable, optional
        Gives merges near the best one.
    told : callable, optional
        Told of every step.
    """

    pool: Pool
    objective: Objective
    judge: Judge
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    refine: Refine | None = None
    told: Callable[[Step], None] | None = None

    def __post_init__(self) -> None:
        self.priced = list(self.pool.priced)
        self.seen: dict[int, Seen] = {}
        self.failed: dict[int, str] = {}
        self.steps: list[Step] = []
        self.ended = ""
        self._rows = Rows.of(self.pool.labels, self.priced)
        self._refined: set[tuple[str, tuple[str, ...]]] = set()
        self._looked = self._idle = 0
        self._known: tuple[tuple[int, int], Beliefs, Outlook] | None = None

    def run(self) -> None:
        """Search until the best is known, everything is measured, or the budget is spent."""
        while not self.ended:
            beliefs, found = self._now()
            self.ended = self._out_of_budget
            if self.ended or self._grown(found):
                continue
            asked = self._next(beliefs, found)
            self.ended = self.ended or self._settled(found)
            if not asked or self.ended:
                self.ended = self.ended or MEASURED
                return
            self._measure(asked)

    def beliefs(self) -> Beliefs:
        """What is believed now."""
        places = [np.flatnonzero(self._rows.merge == one) for one in self.seen]
        known = np.concatenate(places) if places else np.empty(0, dtype=np.intp)
        values = [one.kept for one in self.seen.values()]
        noise = Noise.of(
            [(self.priced[place].candidate.members, one) for place, one in self.seen.items()]
        )
        return Beliefs.given(self._rows, known, np.concatenate(values or [np.empty(0)]), noise)

    def kept(self, beliefs: Beliefs, place: int) -> Floats:
        """What each member of a merge is believed to keep, (k,)."""
        return np.asarray(beliefs.mean[self._rows.merge == place])

    def utilities(self, beliefs: Beliefs) -> tuple[Floats, Floats]:
        """Of every merge: its utility at what is believed, and how far off that may be."""
        value, spread = np.empty(len(self.priced)), np.empty(len(self.priced))
        ends = np.searchsorted(self._rows.merge, np.arange(len(self.priced) + 1))
        for place, one in enumerate(self.priced):
            rows = slice(ends[place], ends[place + 1])
            value[place] = self.objective.utility(one.candidate.members, beliefs.mean[rows])
            if place in self.failed:
                value[place] = -np.inf
            spread[place] = np.sqrt(beliefs.variance[rows].mean())
        return value, spread

    @property
    def best(self) -> int:
        """The place of the merge that is thought best, of those that were measured."""
        if not self.seen:
            reason = next(iter(self.failed.values()), "the budget is spent")
            raise UndefinedError("merges", f"none was measured: {reason}")
        beliefs, found = self._now()
        column = found.best(self.seen)
        if column is not None:
            return int(found.short[column])
        value, _ = self.utilities(beliefs)
        return max(self.seen, key=lambda place: (value[place], -place))

    @property
    def certainty(self) -> float:
        """The probability that no merge is better than the best one by what matters."""
        column = (found := self._now()[1]).best(self.seen)
        if column is None:
            return 0.0
        return certainty(found.utilities, column, self.limits.epsilon)

    def _now(self) -> tuple[Beliefs, Outlook]:
        """What is believed now; worked out once for every measurement and every new merge."""
        at = (self._looked, len(self.priced))
        if self._known is None or self._known[0] != at:
            beliefs = self.beliefs()
            self._known = (at, beliefs, self._outlook(beliefs))
        return self._known[1:]

    def _outlook(self, beliefs: Beliefs) -> Outlook:
        value, spread = self.utilities(beliefs)
        hope = value + _HOPE * spread
        short = np.sort(np.argsort(-hope, kind="stable")[:_SHORT])
        short = np.union1d(short, [int(value.argmax())])
        short = short[~np.isin(short, [*self.failed])]
        if not len(short):
            raise UndefinedError("merges", f"none can be made: {next(iter(self.failed.values()))}")
        members = [self.priced[place].candidate.members for place in short]
        return Outlook.of(beliefs, self.objective, short, members, self.seed + self._looked)

    @property
    def _out_of_budget(self) -> str:
        """Why nothing more may be measured; empty where it may."""
        limits = self.limits
        if limits.looks is not None and self._looked >= limits.looks:
            return SPENT
        if self._looked and limits.deadline is not None and monotonic() >= limits.deadline:
            return OVER
        return ""

    def _settled(self, found: Outlook) -> str:
        """Why nothing more need be measured; empty where it must."""
        best = int(found.value.argmax())
        if int(found.short[best]) not in self.seen:
            return ""
        if certainty(found.utilities, best, self.limits.epsilon) >= self.limits.confidence:
            return KNOWN
        if self._idle >= _IDLE:
            return IDLE
        return ""

    def _next(self, beliefs: Beliefs, found: Outlook) -> list[tuple[int, int]]:
        """Merges to measure, each with its number of samples."""
        asked = list[tuple[int, int]]()
        left = self.judge.at_once
        if self.limits.looks is not None:
            left = min(left, self.limits.looks - self._looked)
        best = int(found.value.argmax())
        sure = certainty(found.utilities, best, self.limits.epsilon)
        for _ in range(left):
            looks = self._looks(beliefs, found, {place for place, _ in asked})
            if not looks:
                break
            columns, noise, cost = (
                np.array([getattr(one, name) for one in looks])
                for name in ("column", "noise", "cost")
            )
            beside = np.column_stack([one.beside for one in looks])
            moved = found.moved(columns, noise, beliefs.freed(beside))
            gains = expected_gains(found.mean, moved)
            worth = gains / cost
            if not asked:
                few = float(gains.max()) < _GAIN * self.limits.epsilon
                self._idle = self._idle + 1 if few else 0
            # The best forecast first, so that a search that ends early has something good; and one
            # that is known for the best but was never made.
            due = not self.seen or sure >= self.limits.confidence
            if due and best in columns and not asked:
                worth[np.flatnonzero(columns == best)[0]] = np.inf
            elif not (worth > 0).any():
                worth = found.mean[columns]
            chosen = int(worth.argmax())
            place = int(found.short[columns[chosen]])
            # One look at a time, however many it was planned with.
            asked.append((place, self._next_levels(place)[0]))
            found = found.after(moved[:, chosen])
        return asked

    def _looks(self, beliefs: Beliefs, found: Outlook, taken: set[int]) -> list[Look]:
        """Every further look at a merge that may be the best."""
        looks = list[Look]()
        sizes = [len(one.counts) for one in self.seen.values()]
        rows = dict(zip(self.seen, np.cumsum([0, *sizes]).tolist(), strict=False))
        for column, place in enumerate(found.short.tolist()):
            if place in taken:
                continue
            candidate = self.priced[place].candidate
            before = self.seen[place].samples if place in self.seen else 0
            mine = self._rows.merge[found.rows] == place
            slopes = found.slopes[column, mine]
            each = self.judge.variance(candidate, beliefs.mean[found.rows[mine]])
            for level in self._next_levels(place)[:_AHEAD]:
                counts = self.judge.counts(candidate, level)
                noise, beside = beliefs.noise.ahead(
                    candidate.members, counts, each, slopes, rows.get(place)
                )
                cost = self.judge.cost(candidate, before, level)
                looks.append(Look(column, noise, beside, cost))
        return looks

    def _next_levels(self, place: int) -> list[int]:
        before = self.seen[place].samples if place in self.seen else 0
        levels = self.judge.levels(self.priced[place].candidate)
        return [level for level in levels if level > before]

    def _measure(self, asked: Sequence[tuple[int, int]]) -> None:
        candidates = [(self.priced[place].candidate, level) for place, level in asked]
        before = [self.seen[p].samples if p in self.seen else 0 for p, _ in asked]
        found = self.judge.see(candidates)
        for (place, _), (candidate, level), seen, old in zip(
            asked, candidates, found, before, strict=True
        ):
            self._looked += 1
            if isinstance(seen, str):
                self.failed[place] = seen
                continue
            self.seen[place] = seen
            cost = self.judge.cost(candidate, old, level)
            best = self.best
            kept, chosen = self.kept(self._now()[0], best), self.priced[best].candidate
            worth = float(self.objective.value(chosen.members, kept))
            step = Step(candidate, seen, cost, chosen, worth, self.certainty)
            self.steps.append(step)
            if self.told is not None:
                self.told(step)

    def _grown(self, found: Outlook) -> bool:
        """Whether merges near the best one were added; each set and method is looked at once."""
        best = int(found.short[int(found.value.argmax())])
        candidate = self.priced[best].candidate
        key = (candidate.method, candidate.members)
        if self.refine is None or best not in self.seen or key in self._refined:
            return False
        self._refined.add(key)
        known = {one.candidate.key for one in self.priced}
        near = self.refine(self.priced[best])
        added = [one for one in near if one.candidate.key not in known]
        if added:
            self.priced += added
            self._rows = Rows.of(self.pool.labels, self.priced)
        return bool(added)
