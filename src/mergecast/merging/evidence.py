"""What merging methods need to know of the members' tasks: a file of tensors for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import FamilyError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

#: After the name of a weight that is stored as (in, out).
TRANSPOSED = "/transposed"


@dataclass(frozen=True)
class TaskEvidence:
    """Files of evidence, read a parameter at a time.

    Attributes
    ----------
    files : mapping of str to Checkpoint
        Label to its file: a tensor for every parameter that has evidence, under its name.
    """

    files: Mapping[str, Checkpoint]

    @classmethod
    def open(cls, paths: Mapping[str, str | Path], members: Sequence[str]) -> Self:
        """Open the members' files.

        Raises
        ------
        UsageError
            A member has none.
        CheckpointError
            A file cannot be read.
        """
        for label in members:
            if label not in paths:
                raise UsageError.unknown("evidence of model", label, paths)
        return cls({label: Checkpoint.open(paths[label]) for label in members})

    def of(
        self, name: str, members: Sequence[str], kind: str, shape: tuple[int, ...]
    ) -> tuple[tuple[Tensor, ...] | None, bool]:
        """Every member's tensor for a parameter, None without any; whether it is transposed.

        Raises
        ------
        FamilyError
            Only some members have it, or a shape is not the parameter's.
        """
        files = [self.files[label] for label in members]
        transposed = any(name + TRANSPOSED in file.infos for file in files)
        key = name + TRANSPOSED if transposed else name
        with_it = [label for label in members if key in self.files[label].infos]
        if not with_it:
            return None, False
        inputs = (shape[0] if transposed else prod(shape[1:]),) * 2
        wanted = inputs if kind == "inputs" else shape
        for label, file in zip(members, files, strict=True):
            found = file.infos[key].shape if key in file.infos else None
            if found != wanted:
                raise FamilyError(
                    f"evidence of model {label!r}",
                    f"{'has no' if found is None else f'shape {list(found)} for'} {key!r}, "
                    f"a merge by it takes {list(wanted)} of every model",
                    f"gather evidence of the kind {kind!r} from this family",
                )
        return tuple(to_tensor(file.array(key)) for file in files), transposed
