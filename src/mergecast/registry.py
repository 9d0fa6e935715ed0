"""One registry type for everything that plugs in: metrics, merging methods, suites, predictors.

A registry knows where its own entries are (the modules that match a pattern) and the group of
entry points by which other packages bring theirs. Both are imported when a name is first asked
for, so that importing a registry costs nothing and an addition is one file, named nowhere else.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Generic, Self, TypeVar

from mergecast.errors import MergecastError, UsageError

T = TypeVar("T")

_OWN = __name__.partition(".")[0]


@dataclass(frozen=True)
class _Entry(Generic[T]):
    """What was registered, and the module that did it."""

    value: T
    module: str

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


class Registry(Generic[T]):
    """Names to objects of one kind.

    Modules register what they hold when they are imported, by `add` or a decorator that calls
    it. Another package names such a module by an entry point in the group ``mergecast.<kind>s``
    (``mergecast.metrics``, ``mergecast.merging_methods``). One that fails to load, brings nothing
    or takes a name that is taken is an error of every look-up, never left out.

    Parameters
    ----------
    kind : str
        What an entry is called in errors and, with an ``s``, in the group of entry points.
    entry_type : type
        What every entry is an instance of.
    modules : tuple of str
        Dotted patterns of the modules that hold the built-in entries; a part of them may hold
        stars (``mergecast.merging.methods.*``).
    """

    def __init__(
        self, kind: str, entry_type: type = object, *, modules: tuple[str, ...] = ()
    ) -> None:
        self.kind = kind
        self.group = f"mergecast.{kind.replace(' ', '_')}s"
        self._entry_type = entry_type
        self._patterns = modules
        self._modules: list[str] = []
        self._own_loaded = not modules
        self._entries: dict[str, _Entry[T]] = {}
        self._plug_ins_loaded = False
        self._broken: MergecastError | None = None
        self._adding = threading.Lock()
        # Imports run without a lock of ours: a module that registers while another thread waits
        # for it would wait for ever. Python's own import locks make each module run once.
        self._loading = threading.local()

    def add(self, name: str, entry: T, *, module: str = "") -> None:
        """Register an entry.

        Parameters
        ----------
        name : str
            What it is looked up by.
        entry : T
            The object.
        module : str
            The module it comes from; the caller's by default.

        Raises
        ------
        UsageError
            The name is taken, or the entry is of another type than the registry's.
        """
        module = module or str(sys._getframe(1).f_globals.get("__name__", "__main__"))
        added = _Entry(entry, module)
        if not isinstance(entry, self._entry_type):
            raise UsageError(
                f"{self.kind} {name!r} of package {added.package!r}",
                f"is {entry!r}",
                f"register an instance of {self._entry_type.__name__}",
            )
        if added.package != _OWN:
            self._load_own()
        with self._adding:
            first = self._entries.setdefault(name, added)
        if first is not added:
            raise UsageError(
                f"{self.kind} {name!r}",
                f"registered by package {first.package!r} (in {first.module}) "
                f"and again by package {added.package!r} (in {module})",
                "choose another name, or uninstall one of the packages",
            )

    def get(self, name: str) -> T:
        """The entry called `name`; raises UsageError with the nearest match otherwise."""
        entries = self._loaded()
        if name not in entries:
            raise UsageError.unknown(self.kind, name, self.names())
        return entries[name].value

    def package(self, name: str) -> str:
        """The package that registered `name`."""
        self.get(name)
        return self._entries[name].package

    def known_elsewhere(self, name: str) -> bool:
        """Whether another process finds `name` by itself: ours, or of an installed package.

        What the program itself registers, another process knows only if it imports the program.
        """
        package = self.package(name)
        points = entry_points(group=self.group)
        return package in {_OWN, *(point.module.partition(".")[0] for point in points)}

    def names(self) -> list[str]:
        """All names: the built-in ones in order of their modules, then those of plug-ins."""
        entries = self._loaded()
        place = {module: number for number, module in enumerate(self._modules)}
        return sorted(entries, key=lambda name: place.get(entries[name].module, len(place)))

    def __iter__(self) -> Iterator[T]:
        return iter([self._entries[name].value for name in self.names()])

    def __contains__(self, name: str) -> bool:
        return name in self._loaded()

    def __len__(self) -> int:
        return len(self._loaded())

    def __repr__(self) -> str:
        return f"{len(self)} {self.kind}s: {', '.join(self.names())}"

    @contextmanager
    def isolated(self) -> Iterator[Self]:
        """For tests: within, plug-ins are looked for anew; what is added is gone at the end."""
        self._load_own()
        before = dict(self._entries), self._plug_ins_loaded, self._broken
        self._plug_ins_loaded, self._broken = False, None
        try:
            yield self
        finally:
            self._entries, self._plug_ins_loaded, self._broken = before

    def _loaded(self) -> dict[str, _Entry[T]]:
        """Every entry; raises UsageError, at each call, where a plug-in is broken."""
        self._load_own()
        if self._broken is not None:
            raise copy(self._broken) from self._broken
        if self._plug_ins_loaded or getattr(self._loading, "active", False):
            return self._entries
        self._loading.active = True
        try:
            for point in sorted(entry_points(group=self.group), key=_plug_in):
                self._load_plug_in(point)
            self._plug_ins_loaded = True
        except MergecastError as error:
            # Kept, since a second import would fail on what the first one left behind.
            self._broken = error
            raise
        finally:
            self._loading.active = False
        return self._entries

    def _load_own(self) -> None:
        if self._own_loaded:
            return
        names = (name for pattern in self._patterns for name in _matching(pattern))
        self._modules = list(dict.fromkeys(names))
        for name in self._modules:
            import_module(name)
        self._own_loaded = True

    def _load_plug_in(self, point: EntryPoint) -> None:
        remedy = "mend the package or uninstall it"
        before = len(self._entries)
        try:
            point.load()
        except MergecastError as error:
            raise error.about(_plug_in(point)) from error
        except Exception as error:
            raise UsageError(
                _plug_in(point), f"does not load: {type(error).__name__}: {error}", remedy
            ) from error
        packages = {entry.package for entry in self._entries.values()}
        if len(self._entries) == before and point.module.partition(".")[0] not in packages:
            raise UsageError(_plug_in(point), f"registers no {self.kind}", remedy)


def _plug_in(point: EntryPoint) -> str:
    """What errors call a plug-in, and the order in which they are loaded."""
    package = point.dist.name if point.dist else point.module.partition(".")[0]
    return f"plug-in {point.name!r} ({point.group}: {point.value}) of package {package!r}"


def _matching(pattern: str) -> list[str]:
    """Modules whose dotted name matches, in sorted order; packages are imported to look in."""
    names = [""]
    parts = pattern.split(".")
    for place, part in enumerate(parts, start=1):
        names = [
            f"{parent}.{child}".lstrip(".")
            for parent in names
            for child in _children(parent, part, packages=place < len(parts))
        ]
    return names


def _children(parent: str, pattern: str, *, packages: bool) -> list[str]:
    """Modules in a package; only packages where something is looked for inside them."""
    if "*" not in pattern:
        there = not parent or find_spec(f"{parent}.{pattern}") is not None
        return [pattern] if there else []
    inside = iter_modules(getattr(import_module(parent), "__path__", []))
    return sorted(
        info.name for info in inside if fnmatchcase(info.name, pattern) and info.ispkg >= packages
    )
