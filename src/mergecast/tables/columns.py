"""The names of metric columns, ``name@method:left<-right``: written and read in this file only.

A metric has a name. Where it is about one merging method, and says nothing of the others, the
method follows after an ``@``, or the label of a recipe, ``ties(scaling=1)``. A directed metric
stands as two columns, which end in ``:left<-right`` (the effect on the left model of the right one)
and ``:right<-left``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

from mergecast.errors import TableError

#: The effect on the left model of the right one, and the reverse.
ON_LEFT: Final = "left<-right"
ON_RIGHT: Final = "right<-left"
_OTHER: Final = {ON_LEFT: ON_RIGHT, ON_RIGHT: ON_LEFT, "": ""}
_ABOUT: Final = "@"
_DIRECTED: Final = ":"


@dataclass(frozen=True)
class Column:
    """A metric column of the pair table.

    Attributes
    ----------
    name : str
        The metric.
    method : str
        The merging method or recipe it is about; empty where it is about none.
    direction : str
        `ON_LEFT` or `ON_RIGHT`; empty for a symmetric metric.

    Examples
    --------
    >>> column = Column.parse("kept@ties:left<-right")
    >>> column.name, column.method, column.direction
    ('kept', 'ties', 'left<-right')
    >>> str(column.other)
    'kept@ties:right<-left'
    """

    name: str
    method: str = ""
    direction: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The column of a name; ``str(Column.parse(text)) == text`` for every text."""
        key, colon, direction = text.rpartition(_DIRECTED)
        if not colon or direction not in (ON_LEFT, ON_RIGHT):
            key, direction = text, ""
        name, _, method = key.partition(_ABOUT)
        if not (name and method):  # an @ at either end is a part of the name
            name, method = key, ""
        return cls(name, method, direction)

    def __str__(self) -> str:
        about = f"{_ABOUT}{self.method}" if self.method else ""
        return f"{self.name}{about}" + (f"{_DIRECTED}{self.direction}" if self.direction else "")

    @property
    def key(self) -> str:
        """The name with its method, without a direction: one key for both halves."""
        return str(replace(self, direction=""))

    @property
    def other(self) -> Column:
        """The other half of a directed column; a symmetric one itself."""
        return replace(self, direction=_OTHER[self.direction])

    def halves(self) -> tuple[Column, Column]:
        """The columns as the left and as the right model see them; twice the same if symmetric."""
        return (self, self.other) if self.direction != ON_RIGHT else (self.other, self)


def columns_of(name: str, method: str = "", *, symmetric: bool) -> tuple[Column, ...]:
    """The columns that a metric fills: one, or for a directed metric two, left's first."""
    if symmetric:
        return (Column(name, method),)
    return Column(name, method, ON_LEFT).halves()


def features(columns: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Key (``name@method``) to the columns as the left and as the right model see it.

    A symmetric metric has one column for both. Sorted by key, so that no result depends on the
    order of columns.
    """
    found: dict[str, tuple[str, str]] = {}
    for column in map(Column.parse, columns):
        left, right = column.halves()
        found[column.key] = (str(left), str(right))
    return dict(sorted(found.items()))


def method_features(columns: Iterable[str], method: str) -> dict[str, tuple[str, str]]:
    """The features that say something of one merging method, as `features`.

    Those about another method are left out, and those about this one lose their ``@<method>``, so
    that a metric has one name whatever the method.

    Raises
    ------
    TableError
        A name then stands twice.
    """
    found: dict[str, tuple[str, str]] = {}
    for key, halves in features(columns).items():
        column = Column.parse(key)
        if column.method in ("", method):
            if column.name in found:
                raise TableError(
                    f"pairs table, column {key!r}",
                    f"there is a metric {column.name!r} too",
                    "rename one of them",
                )
            found[column.name] = halves
    return dict(sorted(found.items()))


def check_halves(columns: Iterable[str]) -> None:
    """Refuse half of a directed metric, and one that is symmetric too.

    Raises
    ------
    TableError
        Naming the column.
    """
    names = set(columns)
    for column in map(Column.parse, sorted(names)):
        thing = f"pairs table, column {str(column)!r}"
        if str(column.other) not in names:
            problem = f"directed metric without its other half {str(column.other)!r}"
            raise TableError(thing, problem, "store both directions")
        if column.direction and column.key in names:
            problem = f"metric {column.key!r} stands both as symmetric and as directed"
            raise TableError(thing, problem, "rename one of them")
