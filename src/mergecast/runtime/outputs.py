"""Whether what is to be written can be, asked before hours of work; nothing is left behind."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile

from mergecast.errors import UsageError


def check_file(path: str | Path) -> None:
    """Raise UsageError for a file that cannot be written; missing folders above it may be made.

    Parameters
    ----------
    path : str or Path
        Where it is to be; what is there already may be replaced.
    """
    path = Path(path)
    if _is_there(path) and path.is_dir():
        raise UsageError(path, "is a folder", "give the name of a file to write")
    _check_place(path, path.parent)


def check_folder(path: str | Path) -> None:
    """Raise UsageError for a folder that cannot be made or written to.

    Parameters
    ----------
    path : str or Path
        Where it is or is to be.
    """
    path = Path(path)
    if _is_there(path) and not path.is_dir():
        raise UsageError(path, "is a file", "give a folder to write")
    _check_place(path, path)


def _is_there(path: Path) -> bool:
    """Whether a path leads anywhere; raises UsageError for one that the system does not know."""
    try:
        return path.exists()
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise UsageError(path, problem, "give another name") from error


def _check_place(path: Path, folder: Path) -> None:
    """Raise UsageError where `folder`, or else the nearest one above it, takes no file."""
    remedy = "choose a place where files can be written"
    for above in (folder, *folder.parents):
        if not _is_there(above):
            if above.is_symlink():
                raise UsageError(path, f"cannot be made: {above} is a link to nothing", remedy)
            continue
        if not above.is_dir():
            raise UsageError(path, f"cannot be made: {above} is a file", "choose another folder")
        try:
            # Permission bits do not tell: not of root, nor of a file system that is read alone.
            with TemporaryFile(dir=above):
                return
        except OSError as error:
            problem = f"cannot be written: {above}: {error.strerror or error}"
            raise UsageError(path, problem, remedy) from error
