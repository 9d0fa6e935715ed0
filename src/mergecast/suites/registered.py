"""Registers the suites that come with mergecast; light to import, heavy when one is used."""

from __future__ import annotations

from typing import Any

from mergecast.suites.digits.suite import Digits
from mergecast.suites.suite import SUITES, Suite

__all__ = ["SUITES", "open_suite"]

SUITES.add(Digits.name, Digits())


def open_suite(name: str) -> Suite[Any]:
    """The suite called `name`; raises UsageError with the nearest match otherwise."""
    return SUITES.get(name)
