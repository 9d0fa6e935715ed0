"""One common test of one registered thing, and how it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from mergecast.errors import MergecastError
from mergecast.registry import Registry

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True)
class Check:
    """A law that one registered thing must keep; call it to check.

    Attributes
    ----------
    kind : str
        What the thing is: ``merging method``, ``metric``, ….
    name : str
        What it is registered as.
    law : str
        The law, in words.
    run : callable
        Raises AssertionError where the thing breaks the law.
    """

    kind: str
    name: str
    law: str
    run: Callable[[], None]

    def __call__(self) -> None:
        """Check; an AssertionError says which thing broke which law, and how."""
        try:
            self.run()
        except (AssertionError, MergecastError) as error:
            raise AssertionError(f"{self}: {error}") from error

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}: {self.law}"


@dataclass(frozen=True)
class Laws(Generic[T, S]):
    """The laws of one kind of thing.

    Attributes
    ----------
    registry : Registry
        Where the things are.
    laws : tuple of callable
        Functions of a subject, named as the law reads.
    subject : callable, optional
        An entry to what its laws look at; whatever is costly there is made when it is needed.
        None where more than the entry is needed.
    """

    registry: Registry[T]
    laws: tuple[Callable[[S], None], ...]
    subject: Callable[[T], S] | None = None

    def of(self, name: str, subject: S) -> list[Check]:
        """Every law for one subject."""
        return [
            Check(self.registry.kind, name, law.__name__.replace("_", " "), partial(law, subject))
            for law in self.laws
        ]

    def of_package(self, package: str | None) -> list[Check]:
        """The checks of what a package registered; of everything without."""
        if self.subject is None:
            return []
        return [
            check
            for name in self.registry.names()
            if package is None or self.registry.package(name) == package
            for check in self.of(name, self.subject(self.registry.get(name)))
        ]


def expect(condition: bool, problem: str) -> None:
    """Raise AssertionError with `problem` unless the condition holds."""
    if not condition:
        raise AssertionError(problem)
