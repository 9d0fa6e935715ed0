"""Images as people have them, as a model's pixels: paths, bytes, any mode and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mergecast.checkpoints.side_files import read_json
from mergecast.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

#: The argument of forward that takes what an image processor makes.
PIXELS = "pixel_values"


def holds_images(values: Any) -> bool:
    """Whether a column's values are images or where they lie, and no numbers."""
    rows = list(values) if isinstance(values, list | tuple | np.ndarray) else []
    return bool(rows) and all(
        isinstance(row, str | bytes | Path | Mapping) or hasattr(row, "convert") for row in rows
    )


class PixelEncoder:
    """The image processor of a folder, as transformers runs it without torchvision.

    Parameters
    ----------
    folder : Path
        Holds ``preprocessor_config.json``; no code of it is run.

    Raises
    ------
    UsageError
        transformers or Pillow is not installed, or the folder holds no image processor.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import PIL.Image  # noqa: F401
            import transformers
        except ImportError as error:
            raise UsageError(
                str(error.name), "is not installed", "pip install mergecast[hf]"
            ) from error
        # One arithmetic wherever it runs: torchvision's resizing gives other pixels.
        newer = int(transformers.__version__.partition(".")[0]) >= 5
        options: dict[str, Any] = {"backend": "pil"} if newer else {"use_fast": False}
        try:
            auto: Any = transformers.AutoImageProcessor
            self._processor = auto.from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True, **options
            )
        except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UsageError(
                f"image processor {folder}",
                first,
                "give the folder of preprocessor_config.json as data.processor",
            ) from error
        self._mode = "L" if read_json(folder / "config.json").get("num_channels") == 1 else "RGB"

    def pixels(self, source: Path, values: Sequence[Any], rows: Sequence[int]) -> Tensor:
        """Images as (n, channels, height, width).

        Parameters
        ----------
        source : Path
            Where the column is from, for errors; relative paths start at its folder.
        values : sequence
            Paths, bytes of files, mappings with ``bytes`` or ``path`` (as datasets store images),
            or images of Pillow.
        rows : sequence of int
            Their numbers in the source.

        Raises
        ------
        UsageError
            An image is missing, damaged or of floats, or the processor leaves them of different
            sizes; the source and the row are named.
        """
        made: list[Tensor] = []
        for row, value in zip(rows, values, strict=True):
            thing = f"{source} row {row}"
            image = _open(thing, source.parent, value)
            try:
                given = _plain(thing, image, self._mode)
                pixels = self._processor(images=given, return_tensors="pt")[PIXELS][0]
            except (OSError, ValueError, TypeError, RuntimeError, SyntaxError) as error:
                if isinstance(error, UsageError):
                    raise
                raise UsageError(
                    thing, f"is no image that the processor takes: {error}", "fix or leave it out"
                ) from error
            if made and made[0].shape != pixels.shape:
                raise UsageError(
                    thing,
                    f"is {list(pixels.shape)} once processed, row {rows[0]} {list(made[0].shape)}",
                    "give a processor that resizes (do_resize), or images of one size",
                )
            made.append(pixels)
        return torch.stack(made)


def _open(thing: str, folder: Path, value: Any) -> Image:
    from PIL import Image, UnidentifiedImageError

    if isinstance(value, Mapping):  # as datasets store an image
        content, path = value.get("bytes"), value.get("path")
        value = path if content is None else content
    if hasattr(value, "convert"):
        given: Image.Image = value
        return given
    if not isinstance(value, str | bytes | Path) or not value:
        raise UsageError(thing, f"holds no image but {value!r:.40}", "give a path or bytes")
    where = "its bytes" if isinstance(value, bytes) else str(folder / value)
    try:
        content = value if isinstance(value, bytes) else (folder / value).read_bytes()
        return Image.open(BytesIO(content))
    except FileNotFoundError as error:
        raise UsageError(
            thing, f"names {where}, which does not exist", f"paths start at {folder}"
        ) from error
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise UsageError(thing, f"{where}: is no readable image", "fix or leave it out") from error


def _plain(thing: str, image: Image, mode: str) -> Image:
    """An upright image of 8 bits a channel.

    Pillow cuts 16 bits off at 255 instead of scaling them, and warns of transparent palettes.
    """
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
            raise UsageError(
                thing, f"holds values up to {values.max()}", "store 8 or 16 bits a channel"
            )
        image = Image.fromarray((values // 257).astype(np.uint8))
    if image.mode == "F":
        raise UsageError(thing, "holds floats, of no known range", "store 8 or 16 bits a channel")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert(mode)
