"""A base model with a LoRA adapter on it: ΔW = scaling·B·A, one parameter at a time.

Reference: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mergecast.checkpoints.checkpoint import Checkpoint, TensorInfo
from mergecast.checkpoints.lora_init import taken_out
from mergecast.typing import Array


@dataclass(frozen=True)
class Update:
    """ΔW of one parameter.

    Attributes
    ----------
    factor_a, factor_b : str
        Names of the two factors in the adapter's file.
    scaling : float
        Factor on B·A.
    transposed : bool
        Whether the base stores the weight as (in, out).
    initial : str
        The initialisation that took a part out of the base; "" where none did.
    module : str
        The path of the module that it adapts, as PEFT calls it.
    embedding : bool
        Whether that module is an embedding, whose factors PEFT names otherwise.
    """

    factor_a: str
    factor_b: str
    scaling: float
    transposed: bool
    initial: str = ""
    module: str = ""
    embedding: bool = False


class LoraCheckpoint(Checkpoint):
    """A base model with a LoRA adapter on it.

    `array` gives W + ΔW in the base's dtype; `delta` gives ΔW itself, free of the rounding of
    that sum. Parameters that the adapter replaces whole (``modules_to_save``, biases) come from
    the adapter's file.

    Attributes
    ----------
    updates : dict of str to Update
        Parameter of the base to ΔW of it.
    replaced : dict of str to str
        Parameter that the adapter holds whole, to its name in the adapter's file.
    config : dict
        PEFT's config of it; empty for a file of another library.
    """

    def __init__(
        self,
        path: Path,
        base: Checkpoint,
        adapter: Checkpoint,
        updates: Mapping[str, Update],
        replaced: Mapping[str, str],
        config: Mapping[str, Any] | None = None,
    ) -> None:
        infos = dict(base.infos)
        for name, source in replaced.items():
            info = adapter.info(source)
            infos[name] = TensorInfo(name, info.shape, info.dtype)
        super().__init__(path, infos, base.tied)
        self._base = base
        self._adapter = adapter
        self.has_values = base.has_values and adapter.has_values
        self.updates = dict(updates)
        self.replaced = dict(replaced)
        self.config = dict(config or {})
        self._taken: tuple[str, tuple[Array, Array] | None] = ("", None)

    def rank(self, name: str) -> int | None:
        """The rank of ΔW on `name`, or None where the adapter does not touch it by factors."""
        update = self.updates.get(name)
        return self._adapter.info(update.factor_a).shape[0] if update else None

    def factor_shapes(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of A (rank, in, …) and B (out, rank, …) of a parameter in `updates`."""
        update = self.updates[name]
        return self._adapter.info(update.factor_a).shape, self._adapter.info(update.factor_b).shape

    def delta(self, name: str, base: Array, start: int = 0) -> Array:
        """ΔW on flat elements from `start`; see `Checkpoint.delta`."""
        if name in self.updates:
            return self._product(name, start, start + base.size).astype(base.dtype)
        if name in self.replaced:
            return super().delta(name, base, start)
        return np.zeros(base.size, dtype=base.dtype)

    def dense_update(self, name: str) -> bool:
        """False for parameters the adapter leaves alone."""
        return name in self.updates or name in self.replaced

    def _read(self, info: TensorInfo, start: int, stop: int) -> Array:
        if info.name in self.replaced:
            source = self._adapter.info(self.replaced[info.name])
            return self._adapter._read(source, start, stop)
        stored = self._base._read(self._base.info(info.name), start, stop)
        if info.name not in self.updates:
            return stored
        total = stored.astype(np.float64) + self._product(info.name, start, stop)
        return total.astype(info.dtype)

    def _product(self, name: str, start: int, stop: int) -> Array:
        """Flat elements ``start:stop`` of scaling·B·A, in float64 for float32 factors' sake.

        Only the rows that hold them are multiplied: a large parameter is read in many parts.
        """
        update = self.updates[name]
        a = self._adapter.array(update.factor_a).astype(np.float64)
        b = self._adapter.array(update.factor_b).astype(np.float64)
        factors = [(update.scaling, b.reshape(b.shape[0], -1), a.reshape(a.shape[0], -1))]
        if update.initial:
            factors.append((-1.0, *self._taken_out(name, update)))
        parts = [
            scale * _elements(left, right, update.transposed, start, stop)
            for scale, left, right in factors
        ]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def _taken_out(self, name: str, update: Update) -> tuple[Array, Array]:
        """What the initialisation subtracted; kept while one parameter is read in parts."""
        taken, factors = self._taken
        if taken != name or factors is None:
            weight = self._base.floats(name).reshape(self._base.info(name).shape)
            matrix = weight.T if update.transposed else weight
            rank = self._adapter.info(update.factor_a).shape[0]
            factors = taken_out(update.initial, matrix, rank, update.scaling)
            self._taken = (name, factors)
        return factors


def _elements(left: Array, right: Array, transposed: bool, start: int, stop: int) -> Array:
    """Flat elements ``start:stop`` of left·right, or of its transpose; only their rows are made."""
    if transposed:
        left, right = right.T, left.T
    columns = max(1, right.shape[1])
    first, last = start // columns, -(-stop // columns)
    part: Array = (left[first:last] @ right).reshape(-1)
    return part[start - first * columns : stop - first * columns]
