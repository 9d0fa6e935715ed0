"""Progress on stderr: bars where somebody watches, now and then a line in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from mergecast.typing import Advance

#: Seconds between two lines of a log, and before the first: short work says nothing.
_EVERY = 10.0


class Progress(Protocol):
    """What long work reports to."""

    def stage(self, name: str, total: int, done: int = 0) -> Advance:
        """Begin a stage of `total` units, `done` of them already; returns the way to advance."""


class Silent:
    """Reports nothing."""

    def stage(self, name: str, total: int, done: int = 0) -> Advance:
        """A way to advance that does nothing."""
        del name, total, done
        return lambda _units: None


class Lines:
    """A line on stderr every ten seconds: how far the stage is, and how long it may still take."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def stage(self, name: str, total: int, done: int = 0) -> Advance:
        """A way to advance that says so at times."""
        begun, before = time.monotonic(), done

        def advance(units: int) -> None:
            nonlocal done
            done += units
            now = time.monotonic()
            if now - self._said < _EVERY:
                return
            self._said = now
            left = (now - begun) / max(done - before, 1) * (total - done)
            print(
                f"mergecast: {name}: {done} of {total} in {now - begun:.0f} s, "
                f"about {max(left, 0):.0f} s left",
                file=sys.stderr,
                flush=True,
            )

        return advance


@contextmanager
def progress_bars(*, force: bool = False) -> Iterator[Progress]:
    """One rich bar a stage on stderr; `Lines` when it is not a terminal, unless forced."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    console = Console(stderr=True, force_terminal=force or None)
    if not console.is_terminal:
        yield Lines()
        return
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:

        class _Rich:
            def stage(self, name: str, total: int, done: int = 0) -> Advance:
                task = bars.add_task(name, total=total, completed=done)
                return lambda units: bars.advance(task, units)

        yield _Rich()
