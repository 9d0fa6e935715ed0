"""`Checkpoint`: one model's tensors, read lazily, whatever the file format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Self

import numpy as np

from mergecast.checkpoints import dtypes
from mergecast.checkpoints.hub import fetched, is_model_name
from mergecast.errors import CheckpointError, UsageError
from mergecast.registry import Registry
from mergecast.typing import Array


@dataclass(frozen=True)
class TensorInfo:
    """What a checkpoint's header says of one tensor; nothing of its values.

    Attributes
    ----------
    name : str
        The parameter's name.
    shape : tuple of int
        Its dimensions; ``()`` for a scalar.
    dtype : dtype
        The stored element type (``ml_dtypes`` for bfloat16 and 8-bit floats).
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes as stored."""
        return self.size * self.dtype.itemsize

    @property
    def is_floating(self) -> bool:
        """Whether this is a floating-point tensor (not an integer buffer)."""
        return dtypes.is_floating(self.dtype)


class Checkpoint(ABC):
    """One model's tensors: names, shapes and dtypes at once, values one tensor at a time.

    Nothing changes a checkpoint once it is open.

    Use `Checkpoint.open`; subclasses are one file format each.

    Attributes
    ----------
    path : Path
        The file or folder it was opened from.
    infos : dict of str to TensorInfo
        Name to `TensorInfo`, in sorted order of names; tied tensors appear once, under the first of
        their names in sorted order.
    tied : dict of str to str
        Every other name of a tied tensor, to the name it is kept under.
    notes : tuple of str
        What was decided while opening it, for people: which of several files, which names.
    has_values : bool
        Whether values can be read; where headers alone are here, they cannot.
    """

    has_values: bool = True

    def __init__(
        self,
        path: Path,
        infos: Mapping[str, TensorInfo],
        tied: Mapping[str, str] | None = None,
    ) -> None:
        if not infos:
            raise CheckpointError(path, "holds no tensors", "point at a checkpoint with weights")
        self.path = path
        self.infos: dict[str, TensorInfo] = {name: infos[name] for name in sorted(infos)}
        self.tied: dict[str, str] = dict(sorted((tied or {}).items()))
        self.notes: tuple[str, ...] = ()

    @staticmethod
    def open(path: str | Path, base: Checkpoint | None = None) -> Checkpoint:
        """Open a checkpoint by what is on disk.

        Parameters
        ----------
        path : str or Path
            A ``.safetensors`` file; a ``.pt``, ``.pth`` or ``.bin`` file (tensors only, no code is
            run); a Hugging Face folder, single or sharded; a PEFT LoRA adapter folder; or the name
            of a model of the hub, ``org/name@revision``, where no file is called so.
        base : Checkpoint, optional
            The base model, needed for a LoRA adapter only.

        Raises
        ------
        CheckpointError
            The file is missing, empty, corrupt, of a refused kind, or holds code.

        Examples
        --------
        >>> Checkpoint.open("base.safetensors").info("layer.weight")
        TensorInfo(name='layer.weight', shape=(12, 40), dtype=dtype('float32'))
        """
        return open_path(Path(path), base)

    @property
    def names(self) -> list[str]:
        """Tensor names in sorted order, tied ones once."""
        return list(self.infos)

    def info(self, name: str) -> TensorInfo:
        """The header entry of `name`; raises UsageError with the nearest name otherwise."""
        if name not in self.infos:
            raise UsageError.unknown("parameter", name, self.infos).about(self.path)
        return self.infos[name]

    def array(self, name: str) -> Array:
        """One whole tensor in its stored dtype and shape, in memory of its own."""
        info = self.info(name)
        return self._read(info, 0, info.size).reshape(info.shape)

    def floats(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Elements ``start:stop`` of the flattened tensor as float32 (float64 if stored so)."""
        info = self.info(name)
        flat = self._read(info, start, info.size if stop is None else stop)
        return flat.astype(dtypes.working(info.dtype), copy=False)

    def delta(self, name: str, base: Array, start: int = 0) -> Array:
        """This model minus `base` on ``len(base)`` flat elements from `start`.

        Parameters
        ----------
        base : ndarray
            Flat float32 or float64 elements of the base model's tensor.

        Returns
        -------
        ndarray
            Of ``base``'s length, float32 unless either side is stored in float64.
        """
        values = self.floats(name, start, start + base.size)
        with np.errstate(over="ignore", invalid="ignore"):  # readers look for what is not finite
            if values.dtype == base.dtype:
                return np.subtract(values, base, out=values)
            return values - base

    def equal(self, one: str, other: str) -> bool:
        """Whether two of its tensors have the same dtype, shape and bytes.

        Where there are no values, dtype and shape decide: a config that ties them is believed.
        """
        first, second = self.info(one), self.info(other)
        if (first.shape, first.dtype) != (second.shape, second.dtype):
            return False
        if not self.has_values:
            return True
        one_raw = self.array(one).reshape(-1).view(np.uint8)
        return np.array_equal(one_raw, self.array(other).reshape(-1).view(np.uint8))

    def with_ties(self, ties: Mapping[str, str]) -> Self:
        """The same checkpoint with the tensors `ties` names kept under others alone."""
        checkpoint = copy(self)
        checkpoint.infos = {name: info for name, info in self.infos.items() if name not in ties}
        kept = {name: ties.get(other, other) for name, other in self.tied.items()}
        checkpoint.tied = dict(sorted({**kept, **ties}.items()))
        return checkpoint

    def dense_update(self, name: str) -> bool:
        """False where this model is known to equal its base on `name` without reading it."""
        return name in self.infos

    @property
    def passed_on(self) -> frozenset[str]:
        """Tensors that are known to be its base's: what an adapter does not touch."""
        return frozenset(name for name in self.infos if not self.dense_update(name))

    @abstractmethod
    def _read(self, info: TensorInfo, start: int, stop: int) -> Array:
        """Flat elements ``start:stop`` in the stored dtype; the caller owns the array."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, tensors={len(self.infos)})"


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
        The path does not exist, or no format or more than one claims it.
    """
    if is_model_name(path):
        path = fetched(path)
    if not path.exists():
        raise CheckpointError(path, "does not exist", f"give {expected()}")
    claims = [name for name in FORMATS.names() if FORMATS.get(name).claims(path)]
    if not claims:
        raise CheckpointError(path, f"format {path.suffix or '(none)'!r} is not read", expected())
    if len(claims) > 1:
        formats = " and ".join(f"{name!r} of package {FORMATS.package(name)!r}" for name in claims)
        raise CheckpointError(path, f"is claimed by formats {formats}", "uninstall one of them")
    return FORMATS.get(claims[0]).open(path, base)


def expected() -> str:
    """What can be given, in words."""
    return f"a {', '.join(weight_suffixes())} file, a model folder, or a LoRA adapter"


def weight_suffixes() -> list[str]:
    """Ends of the names of weight files that are read, longest first."""
    suffixes = {suffix for one in FORMATS for suffix in one.suffixes}
    return sorted(suffixes, key=lambda suffix: (-len(suffix), suffix))
