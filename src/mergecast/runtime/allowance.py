"""Time that something may take beside what a program is for: a share of that, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from mergecast.errors import UsageError


class Allowance:
    """Wall-clock time beside other work.

    Parameters
    ----------
    share : float
        Of the time of the other work, above 0.

    Raises
    ------
    UsageError
        A share that is not above 0.
    """

    def __init__(self, share: float) -> None:
        if not share > 0:
            raise UsageError("overhead", f"is {share}", "give a share of time, such as 0.05")
        self.share = share
        self.spent = 0.0
        self._start = perf_counter()
        self._last: float | None = None

    @property
    def rest(self) -> float:
        """Seconds of the other work so far."""
        return perf_counter() - self._start - self.spent

    @property
    def used(self) -> float:
        """What was spent, as a share of the other work's time; infinite before there is any."""
        return self.spent / self.rest if self.rest > 0 else float("inf")

    def affords(self) -> bool:
        """Whether doing it once more, at what it took last, stays within the share.

        False where it was never done: nobody knows what it takes.
        """
        return self._last is not None and self.spent + self._last <= self.share * self.rest

    @contextmanager
    def spend(self, *, once: bool = False) -> Iterator[None]:
        """Count what is done inside, whether it raises or not.

        Parameters
        ----------
        once : bool
            A preparation, which says nothing of what the next time takes.
        """
        before = perf_counter()
        try:
            yield
        finally:
            took = perf_counter() - before
            self.spent += took
            if not once:
                self._last = took
