"""A merge that is an adapter, in memory: factors under PEFT's names, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mergecast.checkpoints.lora_writer import Place
from mergecast.merging.factors import TOLERANCE, factored
from mergecast.typing import Array


@dataclass
class MergedAdapter:
    """What is known of the adapter while matrices are merged.

    Attributes
    ----------
    ranks : dict of Place to int
        The rank of every adapted module.
    tensors : dict of str to Array
        What the adapter's file holds, under PEFT's names.
    whole : list of str
        Of these names, the parameters that are no factors.
    energy, lost : dict of str to float
        Module to the squared norm of its delta, and of what the stored factors lack of it.
    """

    ranks: dict[Place, int] = field(default_factory=dict)
    tensors: dict[str, Array] = field(default_factory=dict)
    whole: list[str] = field(default_factory=list)
    energy: dict[str, float] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)

    def add(self, place: Place, delta: Array, limit: int, dtype: np.dtype[np.generic]) -> None:
        """Factor one matrix; what is lost is measured on the factors as they are stored."""
        matrix = place.matrix(delta)
        found = factored(matrix, limit)
        left, right = found.left.astype(dtype), found.right.astype(dtype)
        rest = matrix - left.astype(np.float64) @ right.astype(np.float64)
        self.ranks[place] = found.rank
        self.energy[place.module] = found.energy
        self.lost[place.module] = float(np.square(rest).sum())
        self.tensors |= place.tensors(left, right)

    def copy(self) -> MergedAdapter:
        """The same again, to which more can be added."""
        return replace(
            self,
            ranks=dict(self.ranks),
            tensors=dict(self.tensors),
            whole=list(self.whole),
            energy=dict(self.energy),
            lost=dict(self.lost),
        )

    def summary(self, asked: int | None) -> dict[str, Any]:
        """Plain data for records and people; shares are None where nothing changed."""
        shares = {
            module: 1 - self.lost[module] / energy
            for module, energy in self.energy.items()
            if energy
        }
        worst = min(shares, key=lambda module: shares[module]) if shares else None
        total = sum(self.energy.values())
        return {
            "asked_rank": asked,
            "ranks": {place.module: rank for place, rank in self.ranks.items()},
            "tolerance": TOLERANCE,
            "energy": 1 - sum(self.lost.values()) / total if total else None,
            "worst_energy": None if worst is None else shares[worst],
            "worst_matrix": worst,
            "whole": self.whole,
        }
