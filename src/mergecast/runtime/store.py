"""Finished units of work on disk, found again by the content of what was asked for.

A unit is a JSON record under ``units/``, named by the SHA-256 of its spec. A unit may also own a
file (a checkpoint, a table) at a place of its own in the folder; the record then holds the file's
digest and is written last, so that a unit is either finished and whole or not there.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mergecast.runtime.files import UNFINISHED, write_atomically, write_json

log = logging.getLogger(__name__)

_FORMAT = 1  # part of every key: a change of what records mean makes old ones unfindable


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    Raises ValueError for NaN and infinities, TypeError for what is not JSON.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces, as hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class Store:
    """The units of one run folder.

    Parameters
    ----------
    folder : Path
        The run folder; created at the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._units = folder / "units"

    def key(self, spec: Mapping[str, object]) -> str:
        """SHA-256 (hex) of `spec`, which must be JSON; put digests of input files into it."""
        return hashlib.sha256(canonical_json([_FORMAT, spec]).encode()).hexdigest()

    def get(self, spec: Mapping[str, object]) -> dict[str, Any] | None:
        """The result stored for `spec`, or None when it was never finished.

        A record that is damaged, or whose file is missing or changed, counts as not done; the
        user is warned by a log message, since work they paid for is done again.
        """
        path = self._record(spec)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            return self._damaged(path, str(error))
        try:
            record = json.loads(text)
            body, digest = record["unit"], record["sha256"]
            whole = digest == text_digest(canonical_json(body))
            result: dict[str, Any] = body["result"]
            file = body.get("file")
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._damaged(path, "it is truncated or not a record")
        if not whole:
            return self._damaged(path, "its content does not match its digest")
        if file is not None:
            owned = self.folder / file["path"]
            if not owned.is_file():
                return self._damaged(owned, "it is missing")
            if file_digest(owned) != file["sha256"]:
                return self._damaged(owned, "its content does not match the recorded digest")
        return result

    def put(self, spec: Mapping[str, object], result: Mapping[str, object]) -> None:
        """Keep `result` (JSON, no NaN) as the finished unit of `spec`."""
        self._write(spec, {"spec": spec, "result": result})

    def put_file(
        self,
        spec: Mapping[str, object],
        path: str,
        write: Callable[[Path], object],
        result: Mapping[str, object],
    ) -> None:
        """Write the file `path` (relative to the folder) by `write`, then record the unit.

        The result gains ``sha256``, the file's digest: what depends on this file puts it into its
        own spec.
        """
        target = self.folder / path
        write_atomically(target, write)
        digest = file_digest(target)
        file = {"path": path, "sha256": digest}
        self._write(spec, {"spec": spec, "result": {**result, "sha256": digest}, "file": file})

    def clean(self) -> None:
        """Remove what an interrupted write left behind; only for the holder of the run's lock."""
        for leftover in sorted(self.folder.rglob(f"*{UNFINISHED}*")):
            leftover.unlink(missing_ok=True)

    def _record(self, spec: Mapping[str, object]) -> Path:
        return self._units / f"{self.key(spec)}.json"

    def _write(self, spec: Mapping[str, object], body: Mapping[str, object]) -> None:
        record = {"sha256": text_digest(canonical_json(body)), "unit": body}
        write_json(self._record(spec), record)

    @staticmethod
    def _damaged(path: Path, problem: str) -> None:
        log.warning("%s: not used: %s; the unit is computed again", path, problem)


def text_digest(text: str) -> str:
    """SHA-256 (hex) of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
