"""The one error family of mergecast.

Every error names the thing, the problem with the value received, and the remedy, in one line.
Inner code raises with what it knows; an outer layer adds context once, by `about`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Self, cast

#: Names that an error lists, and how many of the nearest where there are more.
_LISTED, _NEAR = 60, 8


class MergecastError(Exception):
    """Base class: something a user can act on.

    Each kind derives from the built-in exception that it is, so that code which knows nothing of
    mergecast catches it as what it is.

    Parameters
    ----------
    thing : object
        What the error is about: a file, a parameter, a column.
    problem : str
        What is wrong with it, with the value received.
    remedy : str
        What to do about it.
    """

    exit_code = 2

    def __init__(self, thing: object, problem: str, remedy: str = "") -> None:
        self.thing = str(thing)
        self.problem = problem.strip().rstrip(".")
        self.remedy = remedy.strip().rstrip(".")
        super().__init__(self.thing, self.problem, self.remedy)

    def __str__(self) -> str:
        head = f"{self.thing}: {self.problem}" if self.thing else self.problem
        line = f"{head}; {self.remedy}" if self.remedy else head
        return " ".join(line.split())

    def __reduce__(self) -> tuple[Any, ...]:
        # An OSError of three arguments keeps two of them, and would not come back from a worker.
        return type(self), (self.thing, self.problem, self.remedy)

    def about(self, context: object) -> Self:
        """The same error with `context` (the file, the table) put before the thing."""
        thing = f"{context}: {self.thing}" if self.thing else str(context)
        return type(self)(thing, self.problem, self.remedy)


class UsageError(MergecastError, ValueError):
    """A wrong argument, option or configuration value (exit code 2)."""

    exit_code = 2

    @classmethod
    def unknown(cls, kind: str, name: str, known: Iterable[str]) -> Self:
        """An unknown name: what was asked for, what exists, and the nearest match."""
        names = list(known)
        cased = {one.lower(): one for one in reversed(names)}
        near = difflib.get_close_matches(name.lower(), cased, n=_NEAR, cutoff=0.5)
        hint = f"did you mean {cased[near[0]]!r}? " if near else ""
        shown = names if len(names) <= _LISTED else [cased[one] for one in near] or names[:_NEAR]
        listing = ", ".join(shown) if names else "none"
        if len(shown) < len(names):
            listing += f" and {len(names) - len(shown)} more"
        unknown = UnknownNameError if cls is UsageError else cls
        error = unknown(f"{kind} {name!r}", "unknown", f"{hint}known: {listing}")
        return cast(Self, error)


class UnknownNameError(UsageError, KeyError):
    """A name that nothing is called by; a KeyError too, as a look-up in a mapping raises."""


class CheckpointError(MergecastError, ValueError):
    """A checkpoint that cannot be used: corrupt, unsafe, missing or of a refused kind."""

    exit_code = 4


class FamilyError(MergecastError, ValueError):
    """Checkpoints that do not belong together, or too few of them to go on."""

    exit_code = 4


class TableError(MergecastError, ValueError):
    """A pair, outcome or published-results table that breaks its schema."""

    exit_code = 2


class UndefinedError(MergecastError, ArithmeticError):
    """A value that does not exist for this input; becomes *missing with a reason*."""

    exit_code = 4


class ResourceError(MergecastError, OSError):
    """Disk, memory or permission trouble (exit code 5)."""

    exit_code = 5
