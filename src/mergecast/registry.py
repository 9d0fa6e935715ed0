"""One registry type for everything that plugs in: metrics, merging methods, suites, predictors."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from mergecast.errors import UsageError

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to objects of one kind, in order of registration.

    A second registration of a name raises; a miss names what exists. Packages add entries by an
    entry point in the group ``mergecast.<kind>s`` whose object registers itself when loaded
    (for example ``mergecast.metrics``); they are loaded at the first look-up.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}
        self._plugins_loaded = False

    def add(self, name: str, entry: T) -> T:
        """Register `entry` under `name`; raises UsageError when the name is taken."""
        if name in self._entries:
            raise UsageError(
                f"{self.kind} {name!r}",
                f"already registered as {self._entries[name]!r}",
                "choose another name",
            )
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """The entry called `name`; raises UsageError with the nearest match otherwise."""
        self._load_plugins()
        if name not in self._entries:
            raise UsageError.unknown(self.kind, name, self._entries)
        return self._entries[name]

    def names(self) -> list[str]:
        """All names, in order of registration."""
        self._load_plugins()
        return list(self._entries)

    def __iter__(self) -> Iterator[T]:
        self._load_plugins()
        return iter(self._entries.values())

    def __contains__(self, name: str) -> bool:
        self._load_plugins()
        return name in self._entries

    def __len__(self) -> int:
        self._load_plugins()
        return len(self._entries)

    def _load_plugins(self) -> None:
        if self._plugins_loaded:
            return
        self._plugins_loaded = True
        for point in entry_points(group=f"mergecast.{self.kind.replace(' ', '_')}s"):
            try:
                point.load()
            except Exception as error:
                raise UsageError(
                    f"plug-in {point.name!r} ({point.value})",
                    f"failed to load: {type(error).__name__}: {error}",
                    "fix or uninstall the package that provides it",
                ) from error
