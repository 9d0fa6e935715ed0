"""What a checkpoint format is, and the registry of all of them: one file a format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mergecast.errors import CheckpointError
from mergecast.registry import Registry

if TYPE_CHECKING:
    from mergecast.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True)
class CheckpointFormat:
    """One way in which a model is stored.

    Attributes
    ----------
    name : str
        What errors call it.
    claims : callable
        Whether a path, which exists, is of this format: by its name and what lies beside it,
        never by guessing at content.
    open : callable
        Path and base (None where there is none) to the `Checkpoint`.
    suffixes : tuple of str
        Ends of file names, for formats that are files; a folder's single file of such a name is
        opened as one.
    """

    name: str
    claims: Callable[[Path], bool]
    open: Callable[[Path, Checkpoint | None], Checkpoint]
    suffixes: tuple[str, ...] = ()


FORMATS: Registry[CheckpointFormat] = Registry(
    "checkpoint format", CheckpointFormat, modules=("mergecast.checkpoints.formats.*",)
)


def open_path(path: Path, base: Checkpoint | None) -> Checkpoint:
    """Open a path by the one format that claims it; see `Checkpoint.open`.

    Raises
    ------
    CheckpointError
        The path does not exist, or no format claims it.
    """
    if not path.exists():
        raise CheckpointError(path, "does not exist", f"give {expected()}")
    for one in FORMATS:
        if one.claims(path):
            return one.open(path, base)
    raise CheckpointError(path, f"format {path.suffix or '(none)'!r} is not read", expected())


def expected() -> str:
    """What can be given, in words."""
    return f"a {', '.join(weight_suffixes())} file, a model folder, or a LoRA adapter"


def weight_suffixes() -> list[str]:
    """Ends of the names of weight files that are read, longest first."""
    suffixes = {suffix for one in FORMATS for suffix in one.suffixes}
    return sorted(suffixes, key=lambda suffix: (-len(suffix), suffix))
