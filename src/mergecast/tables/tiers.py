"""Tiers of evidence: what it took to compute a column of the pair table, cheapest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from mergecast.errors import TableError, UsageError

Tier = Literal["weights", "activations", "labels", "gradients", "probe"]
#: Cheapest first: a tier includes those before it. `labels` is what answers are worth where the
#: samples' true classes are known: nothing more is run for it.
TIERS: tuple[Tier, ...] = ("weights", "activations", "labels", "gradients", "probe")
#: The tier of a table that does not say.
ALL = "all"


def known_tier(name: str) -> Tier:
    """`name` as a tier; raises UsageError where it is none."""
    for tier in TIERS:
        if tier == name:
            return tier
    raise UsageError.unknown("tier", name, TIERS)


def reach_of(tier: str) -> tuple[Tier, ...]:
    """A tier and the cheaper ones, cheapest first; raises UsageError for an unknown one."""
    return TIERS[: TIERS.index(known_tier(tier)) + 1]


def tiers_of(tiers: Mapping[str, str], columns: Iterable[str]) -> dict[str, str]:
    """The tiers of columns, in their order; raises TableError where one is unknown."""
    for column, tier in tiers.items():
        if tier not in TIERS:
            raise TableError(
                f"pairs table, column {column!r}",
                f"tier {tier!r} unknown",
                f"known: {', '.join(TIERS)}",
            )
    return {column: tiers[column] for column in columns if column in tiers}
