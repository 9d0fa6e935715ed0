"""Explicit randomness: one generator for one seed and one purpose."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derived_seed(seed: int, *purpose: object) -> int:
    """A 63-bit seed for `purpose`, independent of every other purpose of the same `seed`."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: object) -> torch.Generator:
    """A CPU generator that no other purpose shares, whatever the order or place of the work.

    Examples
    --------
    >>> generator(0, "fine-tune", "rotated").initial_seed() == derived_seed(
    ...     0, "fine-tune", "rotated"
    ... )
    True
    """
    import torch

    return torch.Generator().manual_seed(derived_seed(seed, *purpose))
