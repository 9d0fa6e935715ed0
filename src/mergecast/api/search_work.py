"""Where a search keeps its finished work."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Self

from mergecast.runtime.lock import folder_lock
from mergecast.runtime.outputs import check_folder


class Work:
    """The folder of a search's finished work; a context manager, which ends a temporary one.

    Parameters
    ----------
    cache : str or Path, optional
        The folder.
    out : str or Path, optional
        Where the merged model goes: the folder is ``OUT.search`` where there is no cache; without
        both it is a temporary one.

    Raises
    ------
    UsageError
        The folder cannot be written.

    Attributes
    ----------
    folder : Path
        The folder.
    lasting : bool
        Whether it stays: it was asked for, or `keep` was called.
    """

    def __init__(self, cache: str | Path | None, out: str | Path | None) -> None:
        self.lasting = cache is not None or out is not None
        if cache is not None:
            self.folder = Path(cache)
        elif out is not None:
            self.folder = Path(f"{Path(str(out))}.search")
        else:
            self.folder = Path(mkdtemp(prefix="mergecast-"))
        if self.lasting:
            check_folder(self.folder)
        self._held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()
        if not self.lasting:
            rmtree(self.folder, ignore_errors=True)

    def hold(self) -> None:
        """Let no other search work here until the context ends.

        Raises ResourceError where one does, or where the folder cannot be written.
        """
        self._held.enter_context(folder_lock(self.folder))

    def keep(self) -> str:
        """Let it stay, and say where it is and how to go on from there."""
        known, self.lasting = self.lasting, True
        if known:
            return f"search the same way again: what was done is kept in {self.folder}"
        return (
            f"search the same way again with the cache {self.folder}, where what was done is kept"
        )
