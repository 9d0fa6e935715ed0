"""A checkpoint under other names: what a rule said that its base calls the same tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mergecast.checkpoints.checkpoint import Checkpoint, TensorInfo
from mergecast.typing import Array


class RenamedCheckpoint(Checkpoint):
    """Another checkpoint's tensors, some of them under new names.

    Parameters
    ----------
    stored : Checkpoint
        The checkpoint as it was opened.
    names : mapping of str to str
        New name to stored name; tensors that are not named keep theirs.
    """

    def __init__(self, stored: Checkpoint, names: Mapping[str, str]) -> None:
        new = {old: name for name, old in names.items()}
        infos = {
            new.get(name, name): replace(info, name=new.get(name, name))
            for name, info in stored.infos.items()
        }
        tied = {new.get(name, name): new.get(kept, kept) for name, kept in stored.tied.items()}
        super().__init__(stored.path, infos, tied)
        self.stored = stored
        self.has_values = stored.has_values
        self._names = dict(names)

    @property
    def renamed(self) -> dict[str, str]:
        """New name to stored name, of every tensor that has another."""
        return dict(self._names)

    def delta(self, name: str, base: Array, start: int = 0) -> Array:
        """See `Checkpoint.delta`."""
        return self.stored.delta(self._names.get(name, name), base, start)

    def dense_update(self, name: str) -> bool:
        """See `Checkpoint.dense_update`."""
        return self.stored.dense_update(self._names.get(name, name))

    def _read(self, info: TensorInfo, start: int, stop: int) -> Array:
        return self.stored._read(
            self.stored.info(self._names.get(info.name, info.name)), start, stop
        )
