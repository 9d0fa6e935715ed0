"""Pictures of one size: whatever a file holds, on white, in a square."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mergecast.errors import ResourceError
from mergecast.runtime.seeds import derived_seed
from mergecast.typing import Array

if TYPE_CHECKING:
    from PIL.Image import Image

#: Side of a picture in the cache, and the longest that it may have had before.
SIDE, LONGEST = 64, 1500


@dataclass(frozen=True)
class Picture:
    """One sample.

    Attributes
    ----------
    pixels : array
        (64, 64, 3) uint8.
    label : str
        Its class.
    group : str or None
        Pictures of one group are never split up; None where it is a group of its own.
    """

    pixels: Array
    label: str
    group: str | None = None


def square(image: Image) -> Array:
    """An image on a white square, resized to (64, 64, 3) uint8."""
    import PIL.Image

    drawn = image.convert("RGBA")
    side = max(drawn.size)
    board = PIL.Image.new("RGBA", (side, side), "white")
    board.alpha_composite(drawn, ((side - drawn.width) // 2, (side - drawn.height) // 2))
    return np.asarray(board.convert("RGB").resize((SIDE, SIDE), PIL.Image.Resampling.LANCZOS))


def from_grey(pixels: Array) -> Array:
    """The same of an array (height, width) uint8."""
    import PIL.Image

    return square(PIL.Image.fromarray(pixels))


def from_file(path: Path) -> Array:
    """The same of a file.

    Raises
    ------
    ResourceError
        It is no image.
    """
    import PIL.Image

    try:
        with PIL.Image.open(path) as image:
            return square(image)
    except OSError as error:
        raise ResourceError(path, f"is no picture: {error}", "fetch it again") from error


def is_small(path: Path) -> bool:
    """Whether the sides of a PNG, which its first bytes tell, are no longer than `LONGEST`."""
    with path.open("rb") as file:
        width, height = struct.unpack(">II", file.read(24)[16:])
    return bool(max(width, height) <= LONGEST)


def idx_array(path: Path) -> Array:
    """An array of bytes in the IDX format, compressed by gzip.

    Raises
    ------
    ResourceError
        It is not such a file.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        dimensions = content[3]
        shape = np.frombuffer(content, ">u4", dimensions, offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, IndexError, ValueError) as error:
        raise ResourceError(path, f"is no IDX file: {error}", "fetch it again") from error


def drawn(names: Iterable[str], most: int) -> list[str]:
    """No more than `most` of some names, drawn by their hashes, sorted."""
    order = sorted(names, key=lambda name: (derived_seed(0, "picture", name), name))
    return sorted(order[:most])
