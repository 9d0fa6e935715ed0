"""What is no checkpoint in any format: nothing at all, or a note in its place."""

from __future__ import annotations

from pathlib import Path

from mergecast.errors import CheckpointError

#: How the files begin that Git leaves where large files were not fetched.
_POINTER = b"version https://git-lfs"


def check_content(path: Path) -> None:
    """Raise CheckpointError for an empty file and for a Git LFS pointer; OSError as it comes."""
    if path.stat().st_size == 0:
        raise CheckpointError(path, "is empty (0 bytes)", "copy or download it again")
    with path.open("rb") as stream:
        if stream.read(len(_POINTER)) == _POINTER:
            raise CheckpointError(
                path, "is a Git LFS pointer, not the weights", "fetch them by `git lfs pull`"
            )
