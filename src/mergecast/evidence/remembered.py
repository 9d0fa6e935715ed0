"""What was made lately, as long as it fits: making it again takes time, keeping it memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")
#: Bytes that are kept at most.
_KEPT = 1 << 30


class Remembered(Generic[T]):
    """The last of some things, by key, up to 1 GiB of them.

    Parameters
    ----------
    bytes_of : callable
        The memory that one takes.
    """

    def __init__(self, bytes_of: Callable[[T], int]) -> None:
        self._bytes_of = bytes_of
        self._kept: dict[Hashable, T] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept under `key`, or made now; all else is let go where that is too much."""
        if key not in self._kept:
            made = make()
            if sum(map(self._bytes_of, (*self._kept.values(), made))) > _KEPT:
                self._kept.clear()
            self._kept[key] = made
        return self._kept[key]
