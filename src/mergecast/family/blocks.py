"""`ParamBlock`: one parameter of the base with the deltas of all models; how weights flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mergecast.errors import FamilyError
from mergecast.runtime.stage import Stage
from mergecast.typing import Array

#: Deltas of a block are kept in memory up to this many bytes, and re-read in parts beyond it.
MEMORY_BUDGET = 512 * 2**20
#: Elements of one model in a chunk: float64 copies of 20 models then take about 20 MB.
CHUNK_ELEMENTS = 2**17
#: A parameter's values and every model's difference from them.
BLOCKS = Stage("blocks", 1, modules=("mergecast.family.blocks",))


class ParamBlock:
    """One shared parameter: the base's values and every model's difference from them.

    Parameters
    ----------
    name : str
        The parameter.
    shape : tuple of int
        Its dimensions.
    members : sequence of str
        Labels of the N models, in order.
    dtype : dtype
        The base's stored dtype.
    read_base : callable
        ``(start, stop) ->`` flat base elements, float32 or float64.
    read_delta : callable
        ``(member index, base part, start) ->`` flat delta elements.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        members: Sequence[str],
        dtype: np.dtype[np.generic],
        read_base: Callable[[int, int], Array],
        read_delta: Callable[[int, Array, int], Array],
    ) -> None:
        self.name = name
        self.shape = shape
        self.members = tuple(members)
        self.dtype = dtype
        self.size = int(np.prod(shape, dtype=np.int64))
        self._read_base = read_base
        self._read_delta = read_delta
        self._base: Array | None = None
        self._deltas: Array | None = None

    @classmethod
    def from_arrays(
        cls, name: str, base: Array, models: Array, members: Sequence[str] | None = None
    ) -> ParamBlock:
        """A block of arrays in memory: `base` of any shape, `models` of shape ``(N, *shape)``."""
        if models.shape[1:] != base.shape:
            raise FamilyError(
                name,
                f"models of shape {list(models.shape[1:])} on a base of {list(base.shape)}",
                "stack arrays of the base's shape",
            )
        labels = [f"model_{i}" for i in range(len(models))] if members is None else members
        flat_base, flat_models = base.reshape(-1), models.reshape(len(models), -1)
        return cls(
            name,
            base.shape,
            labels,
            base.dtype,
            lambda start, stop: flat_base[start:stop],
            lambda i, part, start: flat_models[i, start : start + part.size] - part,
        )

    @property
    def base(self) -> Array:
        """The base's values, shape `shape`, float32 (float64 if stored so)."""
        if self._base is None:
            self._base = self._read_base(0, self.size)
        return self._base.reshape(self.shape)

    @property
    def deltas(self) -> Array:
        """All differences from the base, shape ``(N, *shape)``, in the order of `members`."""
        if self._deltas is None:
            base = self.base.reshape(-1)
            deltas = np.empty((len(self.members), self.size), dtype=base.dtype)
            for i in range(len(self.members)):
                deltas[i] = self._read_delta(i, base, 0)
            self._deltas = deltas
        return self._deltas.reshape(len(self.members), *self.shape)

    def delta(self, i: int) -> Array:
        """The difference of model `i` alone, shape `shape`."""
        if self.fits_in_memory:
            stored: Array = self.deltas[i]
            return stored
        return self._read_delta(i, self.base.reshape(-1), 0).reshape(self.shape)

    @property
    def fits_in_memory(self) -> bool:
        """Whether base and all deltas together stay within `MEMORY_BUDGET`."""
        return (len(self.members) + 1) * self.size * 4 <= MEMORY_BUDGET

    def chunks(self, elements: int = CHUNK_ELEMENTS) -> Iterator[tuple[Array, Array]]:
        """Flat parts ``(base (c,), deltas (N, c))`` in order, for element-wise reductions."""
        for start in range(0, self.size, elements):
            stop = min(start + elements, self.size)
            if self.fits_in_memory:
                base = self.base.reshape(-1)[start:stop]
                yield base, self.deltas.reshape(len(self.members), -1)[:, start:stop]
            else:
                yield self.part(start, stop)

    def part(self, start: int, stop: int) -> tuple[Array, Array]:
        """Flat elements ``start:stop`` as base (c,) and deltas (N, c); nothing else is read."""
        base = self._read_base(start, stop)
        deltas = [self._read_delta(i, base, start) for i in range(len(self.members))]
        return base, np.stack(deltas)

    def gram(self) -> Array:
        """Gram matrix (N, N) of the deltas, accumulated in float64; NaN where one is not finite.

        Chunks are summed in a fixed order, so the result does not depend on threads.
        """
        total = np.zeros((len(self.members), len(self.members)))
        with np.errstate(invalid="ignore", over="ignore"):
            for _, deltas in self.chunks():
                doubles = deltas.astype(np.float64)
                total += doubles @ doubles.T
        return total

    def base_norm(self) -> float:
        """Norm of the base's values, accumulated in float64."""
        with np.errstate(over="ignore", invalid="ignore"):
            parts = [float(np.square(base, dtype=np.float64).sum()) for base, _ in self.chunks()]
        return float(np.sqrt(np.sum(parts)))

    def non_finite(self, gram: Array) -> list[str]:
        """Members whose delta holds NaN or infinity: their norm in `gram` then is not finite."""
        finite = np.isfinite(np.diagonal(gram))
        return [label for label, fine in zip(self.members, finite, strict=True) if not fine]

    def __repr__(self) -> str:
        return f"ParamBlock({self.name!r}, shape={self.shape}, models={len(self.members)})"
