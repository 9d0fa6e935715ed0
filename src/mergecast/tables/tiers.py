"""Tiers of evidence: what it took to compute a column of the pair table, cheapest first.

A pair table says of each metric column which tier it came from, in ``df.attrs["tiers"]``, so that a
forecaster can be fitted for every tier that a user may stop at. Parquet keeps it; a table without
(CSV, or somebody else's) counts as one tier, ``all``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mergecast.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

Tier = Literal["weights", "activations", "gradients", "probe"]
#: Cheapest first: a tier includes those before it.
TIERS: tuple[Tier, ...] = ("weights", "activations", "gradients", "probe")
#: Between a metric's name and the merging method that it is about, where there is one.
ABOUT = "@"
#: The tier of a table that does not say.
ALL = "all"


def known_tier(name: str) -> Tier:
    """`name` as a tier; raises UsageError where it is none."""
    for tier in TIERS:
        if tier == name:
            return tier
    raise UsageError.unknown("tier", name, TIERS)


def tiers_of(pairs: pd.DataFrame) -> list[str]:
    """The tiers of a pair table, cheapest first; ``["all"]`` where it does not say."""
    named = pairs.attrs.get("tiers", {})
    found = {tier for column, tier in named.items() if column in pairs.columns}
    return [tier for tier in TIERS if tier in found] or [ALL]


def up_to(pairs: pd.DataFrame, tier: str) -> pd.DataFrame:
    """The pair table as it would be had nobody gone beyond `tier`; columns without one are kept."""
    if tier == ALL:
        return pairs
    reach = TIERS[: TIERS.index(known_tier(tier)) + 1]
    named = pairs.attrs.get("tiers", {})
    kept = pairs[[c for c in pairs.columns if named.get(c, tier) in reach]].copy()
    kept.attrs = {
        **pairs.attrs,
        "missing": [e for e in pairs.attrs.get("missing", []) if e["key"] in kept.columns],
        "tiers": {column: named[column] for column in kept.columns if column in named},
    }
    return kept
