"""Finished work of a session: kept by content, for this session or for later ones too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.errors import UsageError
from mergecast.evidence.settings import ProbeSettings
from mergecast.runtime.store import Store

if TYPE_CHECKING:
    from torch import Tensor


class NotFinished(Exception):  # noqa: N818  # says what is, and never leaves the package
    """A unit is not in the store of a session that only reads."""


class Finished:
    """What is finished is kept in `store`; the end of the context ends a temporary one.

    Attributes
    ----------
    settings : ProbeSettings
        Where the store is.
    reads_only : bool
        Nothing is computed: what is not there raises NotFinished.
    """

    settings: ProbeSettings
    reads_only: bool = False

    def __init__(self) -> None:
        self._scope = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._scope.close()

    @cached_property
    def store(self) -> Store:
        """Where finished units are kept; raises UsageError where the cache is a file."""
        cache = self.settings.cache
        if cache is None:
            cache = Path(self._scope.enter_context(TemporaryDirectory(prefix="mergecast-")))
        elif cache.exists() and not cache.is_dir():
            raise UsageError(cache, "is a file", "give a folder of finished work as cache")
        return Store(cache)

    def unit(
        self, spec: Mapping[str, object], compute: Callable[[], Mapping[str, object]]
    ) -> dict[str, Any]:
        """The numbers stored under `spec`, computed where there are none."""
        result = self._found(spec)
        if result is None:
            result = dict(compute())
            self.store.put(spec, result)
        return result

    def file_unit(
        self,
        spec: Mapping[str, object],
        folder: str,
        compute: Callable[[], tuple[Mapping[str, Tensor], Mapping[str, object]]],
    ) -> tuple[Checkpoint, dict[str, Any]]:
        """The tensors and the record stored under `spec`, computed where there are none."""
        from mergecast.checkpoints.writer import write_safetensors

        path = f"{folder}/{self.store.key(spec)}.safetensors"
        record = self._found(spec)
        if record is None:
            tensors, result = compute()
            self.store.put_file(spec, path, lambda part: write_safetensors(part, tensors), result)
            record = dict(result)
        return Checkpoint.open(self.store.folder / path), record

    def _found(self, spec: Mapping[str, object]) -> dict[str, Any] | None:
        record = self.store.get(spec)
        if record is None and self.reads_only:
            raise NotFinished
        return record
