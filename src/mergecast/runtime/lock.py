"""One process at a time in a run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mergecast.errors import ResourceError


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold ``run.lock`` in `folder`, or raise ResourceError naming the process that holds it.

    The kernel drops the lock with the process, however it ends, so the file of a dead process is
    taken over without a guess from its pid; the pid inside only serves the message.
    """
    import fcntl

    path = folder / "run.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise ResourceError(
            folder,
            f"cannot be used as a run folder: {error.strerror or error}",
            "choose a folder that can be written",
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise ResourceError(
                folder,
                f"another process (pid {holder}) is working in this folder",
                "wait for it, stop it, or choose another folder",
            ) from error
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
