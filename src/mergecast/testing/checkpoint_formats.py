"""The laws of a checkpoint format, checked on a file of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mergecast.checkpoints.checkpoint import FORMATS, Checkpoint, CheckpointFormat
from mergecast.errors import CheckpointError
from mergecast.family.family import Family
from mergecast.testing.check import Laws, expect
from mergecast.typing import Array


def check_checkpoint_format(name: str, path: str | Path, base: str | Path | None = None) -> None:
    """Run every common test of a checkpoint format.

    Parameters
    ----------
    name : str
        What it is registered as.
    path : str or Path
        A checkpoint of this format, a file or a folder, with a floating-point tensor of two
        elements or more. It is not changed.
    base : str or Path, optional
        The base model, for formats that hold a difference from it.

    Raises
    ------
    AssertionError
        It breaks a law; the message says which and how.
    UsageError
        No such format.
    """
    opened = None if base is None else Checkpoint.open(base)
    for check in _LAWS.of(name, Example(FORMATS.get(name), Path(path), opened)):
        check()


@dataclass(frozen=True)
class Example:
    """A format, and a checkpoint of it."""

    format: CheckpointFormat
    path: Path
    base: Checkpoint | None

    def open(self) -> Checkpoint:
        """The checkpoint, anew."""
        return Checkpoint.open(self.path, self.base)


def it_alone_claims_its_files(example: Example) -> None:
    """By name and what lies beside it, never by guessing; what two formats claim has no reader."""
    claims = [name for name in FORMATS.names() if FORMATS.get(name).claims(example.path)]
    who = ", ".join(claims) or "nobody"
    expect(claims == [_name(example)], f"{example.path} is claimed by {who}")


def tensors_are_what_the_header_says(example: Example) -> None:
    """Names in sorted order, each with its shape and dtype."""
    checkpoint = example.open()
    expect(checkpoint.names == sorted(checkpoint.names), "names are not in sorted order")
    for name, array in _arrays(checkpoint):
        info = checkpoint.info(name)
        header, read = (info.shape, info.dtype), (array.shape, array.dtype)
        expect(read == header, f"{name!r} is read as {read}, the header says {header}")


def a_part_is_a_part_of_the_whole(example: Example) -> None:
    """Large parameters are read in chunks."""
    checkpoint = example.open()
    for name, array in _arrays(checkpoint):
        whole = checkpoint.floats(name)
        expect(whole.dtype in (np.float32, np.float64), f"{name!r} is read as {whole.dtype}")
        expect(np.array_equal(whole, _floats(array), equal_nan=True), f"{name!r} has two values")
        for start, stop in ((0, 1), (1, array.size), (array.size // 2, array.size)):
            part = checkpoint.floats(name, start, stop)
            same = np.array_equal(part, whole[start:stop], equal_nan=True)
            expect(same, f"elements {start} to {stop} of {name!r} differ from those of the whole")


def the_reader_owns_what_it_gets(example: Example) -> None:
    """Deltas are made in place."""
    checkpoint = example.open()
    for name, array in _arrays(checkpoint):
        expect(array.flags.writeable, f"{name!r} cannot be written to")
        before = array.copy()
        array[...] = 0
        again = checkpoint.array(name)
        expect(_same(before, again), f"writing into {name!r} changes what is read next")


def threads_read_the_same(example: Example) -> None:
    """Parameters are read ahead, by another thread."""
    checkpoint = example.open()
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(checkpoint.array, checkpoint.names * 4))
    arrays = [array for _, array in _arrays(example.open())]
    for one, other in zip(read, arrays * 4, strict=True):
        expect(_same(one, other), "read by several threads a tensor differs")


def a_damaged_file_is_refused(example: Example) -> None:
    """An empty or a cut file is a CheckpointError, at opening or when it is read."""
    if example.path.is_dir():
        return
    size = example.path.stat().st_size
    for kept in (0, size // 2, size - 1):
        with TemporaryDirectory(prefix="mergecast-") as scratch:
            damaged = Path(shutil.copy(example.path, scratch))
            with damaged.open("r+b") as stream:
                stream.truncate(kept)
            try:
                list(_arrays(Checkpoint.open(damaged, example.base)))
            except CheckpointError:
                continue
            except Exception as error:
                raise AssertionError(
                    f"cut to {kept} bytes it is a {type(error).__name__}: {error}"
                ) from error
            raise AssertionError(f"cut to {kept} of {size} bytes it is read all the same")


def it_is_a_model_of_a_family(example: Example) -> None:
    """Against itself, where it is no difference, every delta is zero."""
    base = example.base or example.path
    family = Family.open(base, {"model": example.path})
    expect(bool(family.shared), "shares no parameter")
    if example.base is None:
        for block in family.blocks():
            expect(not block.deltas.any(), f"differs from itself in {block.name!r}")


_LAWS: Laws[CheckpointFormat, Example] = Laws(
    FORMATS,
    (
        it_alone_claims_its_files,
        tensors_are_what_the_header_says,
        a_part_is_a_part_of_the_whole,
        the_reader_owns_what_it_gets,
        threads_read_the_same,
        a_damaged_file_is_refused,
        it_is_a_model_of_a_family,
    ),
)


def _name(example: Example) -> str:
    return next(name for name in FORMATS.names() if FORMATS.get(name) is example.format)


def _arrays(checkpoint: Checkpoint) -> Iterator[tuple[str, Array]]:
    return ((name, checkpoint.array(name)) for name in checkpoint.names)


def _floats(array: Array) -> Array:
    wide = np.float64 if array.dtype == np.float64 else np.float32
    flat: Array = array.reshape(-1).astype(wide)
    return flat


def _same(one: Array, other: Array) -> bool:
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()
