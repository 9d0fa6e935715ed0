"""One process at a time in a run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mergecast.errors import ResourceError


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold ``run.lock`` in a folder for as long as this context lasts.

    The system drops the lock with the process, however it ends, so that of a dead process is free
    without a guess from its pid; the pid in ``run.pid`` only serves the message.

    Parameters
    ----------
    folder : Path
        The run folder; made if it is missing.

    Raises
    ------
    ResourceError
        Another process holds it, which is named; or the folder cannot be written.
    """
    holder = folder / "run.pid"
    lock = FileLock(folder / "run.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        holder.write_text(str(os.getpid()), encoding="utf-8")
    except Timeout as error:
        pid = holder.read_text(encoding="utf-8") if holder.is_file() else ""
        raise ResourceError(
            folder,
            f"another process (pid {pid.strip() or 'unknown'}) is working in this folder",
            "wait for it, stop it, or choose another folder",
        ) from error
    except OSError as error:
        lock.release()
        raise ResourceError(
            folder,
            f"cannot be used as a run folder: {error.strerror or error}",
            "choose a folder that can be written",
        ) from error
    try:
        yield
    finally:
        lock.release()
