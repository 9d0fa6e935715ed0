"""Progress on stderr, for people; nothing at all when nobody watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from mergecast.typing import Advance


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


@contextmanager
def progress_bars(*, force: bool = False) -> Iterator[Progress]:
    """One rich bar a stage on stderr; `Silent` when stderr is not a terminal, unless forced."""
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
        yield Silent()
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
