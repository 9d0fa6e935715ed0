"""Parameters as people name them: by glob patterns."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a parameter's name fits one of the glob patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
