"""Files that are written whole or not at all: a reader sees the old content or the new."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mergecast.errors import ResourceError

#: Part of the name of every file that is still being written.
UNFINISHED = ".unfinished"


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    Missing folders are made. The temporary file has the suffix of `path`, as some writers go by it.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ResourceError
        The file system refuses; `path` then holds what it held before.
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{UNFINISHED}{path.suffix}")
    with as_resource_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            return temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def as_resource_error(path: Path) -> Iterator[None]:
    """Turn trouble of the disk inside this context into a ResourceError about `path`."""
    try:
        yield
    except ResourceError:  # about something else that was written inside
        raise
    except OSError as error:
        raise ResourceError(
            path,
            f"cannot be written: {error.strerror or error}",
            "check free space and permissions",
        ) from error


def write_text(path: Path, text: str) -> Path:
    """Write a text file as UTF-8, atomically; see `write_atomically`."""
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: object) -> Path:
    """Write a JSON file, atomically; ValueError for NaN and infinities, which are not JSON."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    return write_text(path, text + "\n")
