"""Names of merged sets: the members' names in sorted order, joined by ``+``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

JOIN: Final = "+"


def join_members(names: Iterable[str]) -> str:
    """The name of the set of these members."""
    return JOIN.join(sorted(names))


def split_members(members: str) -> list[str]:
    """The members of a set, sorted."""
    return members.split(JOIN)


def sizes_of(members: pd.Series) -> pd.Series:
    """The number of members of each set."""
    return members.str.count(rf"\{JOIN}") + 1
