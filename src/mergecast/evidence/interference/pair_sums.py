"""Sums over parameters for all ordered pairs of models, which interference is read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from mergecast.checkpoints.checkpoint import Array
from mergecast.errors import MergecastError, UndefinedError

#: Sums to which both models bring what was measured on their samples.
MUTUAL = frozenset({"input_similarity"})


@dataclass(frozen=True)
class Interference:
    """Sums over parameters, from which the metrics of all pairs are read.

    Attributes
    ----------
    members : labels of the N models, sorted.
    sums : name to (N, N) array, float64; entry [i, j] is the effect on model i of model j.
    energies : ``left`` and ``right`` to (matrices, N, N): share of τⱼ's energy in τᵢ's subspace.
    missing : (name of a sum, member) to the reason why its row has no value.
    methods : merging methods whose scaling the gradient forms follow.
    """

    members: tuple[str, ...]
    sums: Mapping[str, Array]
    energies: Mapping[str, Array]
    missing: Mapping[tuple[str, str], str]
    methods: tuple[str, ...] = ()

    def entry(self, name: str, i: str, j: str) -> float:
        """One entry of a sum; raises UndefinedError with the reason where it has none."""
        about = (i, j, "") if name in MUTUAL else (i, "")
        reason = next((r for label in about if (r := self.missing.get((name, label)))), None)
        if reason:
            raise UndefinedError(f"model {i!r}", reason)
        if name not in self.sums:
            raise UndefinedError(f"interference {name!r}", "was not collected")
        return float(self.sums[name][self.members.index(i), self.members.index(j)])


@dataclass
class PairSums:
    """The accumulators of one pass over the blocks."""

    members: tuple[str, ...]
    sums: dict[str, Array] = field(default_factory=dict)
    energies: dict[str, list[Array]] = field(default_factory=lambda: {"left": [], "right": []})
    missing: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, name: str, rows: int | Sequence[int], values: Tensor | Array | float) -> None:
        """Add to one row, (N,), or to several, (rows, N), of a sum."""
        total = self.sums.setdefault(name, np.zeros((len(self.members), len(self.members))))
        total[rows] += np.asarray(values, dtype=np.float64)

    def result(self, methods: tuple[str, ...]) -> Interference:
        """The finished sums; raises MergecastError where one is not finite without a reason."""
        for name, total in self.sums.items():
            for i, member in enumerate(self.members):
                if np.isfinite(total[i]).all():
                    continue
                if not {(name, member), (name, "")} & set(self.missing):
                    raise MergecastError(
                        f"model {member!r}",
                        f"its interference {name!r} is not finite",
                        "leave this model out, or fetch it again",
                    )
        energies = {side: np.array(parts) for side, parts in self.energies.items()}
        return Interference(self.members, self.sums, energies, self.missing, methods)
