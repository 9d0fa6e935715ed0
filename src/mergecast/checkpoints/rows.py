"""A checkpoint whose embeddings have their rows in another order, or rows that stand elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import prod

import numpy as np

from mergecast.checkpoints.checkpoint import Checkpoint, TensorInfo
from mergecast.typing import Array

#: Name, first row and last to rows (last - first, …) that the checkpoint itself does not have.
Fill = Callable[[str, int, int], Array]


class RowsCheckpoint(Checkpoint):
    """Another checkpoint's tensors, some of them with chosen rows.

    Parameters
    ----------
    stored : Checkpoint
        The checkpoint as it was opened.
    rows : mapping of str to ndarray
        For a tensor, which of its rows stands where; -1 where `fill` gives the row, from which
        this checkpoint is then said not to differ.
    fill : callable
        Rows that the checkpoint does not have.
    """

    def __init__(self, stored: Checkpoint, rows: Mapping[str, Array], fill: Fill) -> None:
        infos = {
            name: replace(info, shape=(len(rows[name]), *info.shape[1:])) if name in rows else info
            for name, info in stored.infos.items()
        }
        super().__init__(stored.path, infos, stored.tied)
        self.notes = stored.notes
        self.stored = stored
        self.has_values = stored.has_values
        self._rows, self._fill = dict(rows), fill

    def delta(self, name: str, base: Array, start: int = 0) -> Array:
        """See `Checkpoint.delta`; 0 where a row is not its own."""
        if name not in self._rows:
            return self.stored.delta(name, base, start)
        out = np.zeros_like(base)
        for at, length, place in self._runs(self.info(name), start, start + base.size):
            if place >= 0:
                part = self.stored.delta(name, base[at : at + length], place)
                out[at : at + length] = part
        return out

    def dense_update(self, name: str) -> bool:
        """See `Checkpoint.dense_update`."""
        return self.stored.dense_update(name)

    def _read(self, info: TensorInfo, start: int, stop: int) -> Array:
        if info.name not in self._rows:
            return self.stored._read(info, start, stop)
        out = np.empty(stop - start, dtype=info.dtype)
        width = prod(info.shape[1:])
        stored = self.stored.info(info.name)
        for at, length, place in self._runs(info, start, stop):
            if place >= 0:
                out[at : at + length] = self.stored._read(stored, place, place + length)
                continue
            first, last = (start + at) // width, -(-(start + at + length) // width)
            rows = self._fill(info.name, first, last).reshape(-1)
            offset = start + at - first * width
            out[at : at + length] = rows[offset : offset + length].astype(info.dtype)
        return out

    def _runs(self, info: TensorInfo, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Flat elements ``start:stop`` in parts: where in them, how many, and from which stored
        element on; -1 where they are filled.
        """
        width = prod(info.shape[1:])
        first, last = start // width, -(-stop // width)
        rows = self._rows[info.name][first:last]
        joined = (np.diff(rows) == 1) | ((rows[1:] < 0) & (rows[:-1] < 0))
        joined &= (rows[1:] < 0) == (rows[:-1] < 0)
        for run in np.split(np.arange(len(rows)), np.flatnonzero(~joined) + 1):
            begin = max(start, (first + int(run[0])) * width)
            end = min(stop, (first + int(run[-1]) + 1) * width)
            row = int(rows[run[0]])
            inside = begin - (first + int(run[0])) * width
            yield begin - start, end - begin, row * width + inside if row >= 0 else -1
