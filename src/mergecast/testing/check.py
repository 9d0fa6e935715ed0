"""One common test of one registered thing, and how it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from mergecast.registry import Registry

T = TypeVar("T")


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
        except AssertionError as error:
            raise AssertionError(f"{self}: {error}") from error

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}: {self.law}"


@dataclass(frozen=True)
class Laws(Generic[T]):
    """The laws of one kind of thing, each a function of an entry of its registry."""

    registry: Registry[T]
    laws: tuple[Callable[[T], None], ...]

    def checks(self, names: Iterable[str]) -> Iterator[Check]:
        """Every law for every name; raises UsageError for an unknown one."""
        for name in names:
            entry = self.registry.get(name)
            for law in self.laws:
                words = law.__name__.replace("_", " ")
                yield Check(self.registry.kind, name, words, partial(law, entry))

    def of_package(self, package: str | None) -> list[Check]:
        """The checks of what a package registered; of everything without."""
        names = [
            name
            for name in self.registry.names()
            if package is None or self.registry.package(name) == package
        ]
        return list(self.checks(names))


def expect(condition: bool, problem: str) -> None:
    """Raise AssertionError with `problem` unless the condition holds."""
    if not condition:
        raise AssertionError(problem)
