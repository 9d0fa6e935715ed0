"""Tiers of evidence: what it took to compute a column of the pair table, cheapest first."""

from __future__ import annotations

from typing import Literal

from mergecast.errors import UsageError

Tier = Literal["weights", "activations", "gradients", "probe"]
#: Cheapest first: a tier includes those before it.
TIERS: tuple[Tier, ...] = ("weights", "activations", "gradients", "probe")
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
