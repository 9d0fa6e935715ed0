"""Letters of many scripts, drawn in the fonts of Noto: which script is it?

Every letter is drawn in each of its script's fonts, at sizes and places that follow from a hash.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mergecast.runtime.seeds import derived_seed
from mergecast.suites.image.pictures import SIDE, Picture, drawn, square
from mergecast.typing import Array

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

#: Task to scripts, as the fonts are named.
SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "script-indic": (
        "Bengali", "Devanagari", "Gujarati", "Gurmukhi", "Kannada", "Malayalam", "Oriya",
        "Sinhala", "Tamil", "Telugu",
    ),
    "script-sea": (
        "Balinese", "Cham", "Javanese", "Khmer", "Lao", "Myanmar", "Sundanese", "TaiTham",
        "TaiViet", "Thai",
    ),
    "script-ancient": (
        "AnatolianHieroglyphs", "Cuneiform", "Cypriot", "EgyptianHieroglyphs", "LinearA",
        "LinearB", "OldItalic", "OldPersian", "OldTurkic", "Runic",
    ),
    "script-modern": (
        "Arabic", "Armenian", "CanadianAboriginal", "Cherokee", "Ethiopic", "Georgian", "Hebrew",
        "Tifinagh", "Vai", "Yi",
    ),
}  # fmt: skip
#: How Unicode's names of letters begin, where it is not the font's name in capitals.
_NAMES: Mapping[str, str] = {
    "AnatolianHieroglyphs": "ANATOLIAN HIEROGLYPH",
    "CanadianAboriginal": "CANADIAN SYLLABICS",
    "EgyptianHieroglyphs": "EGYPTIAN HIEROGLYPH",
    "LinearA": "LINEAR A",
    "LinearB": "LINEAR B",
    "OldItalic": "OLD ITALIC",
    "OldPersian": "OLD PERSIAN",
    "OldTurkic": "OLD TURKIC",
    "TaiTham": "TAI THAM",
    "TaiViet": "TAI VIET",
}
_LETTERS = frozenset({"Lo", "Lu", "Ll"})
#: Drawings of a letter in one font; sizes of the font; widest and highest that a letter may be.
_DRAWINGS, _SIZES, _WIDEST = 4, (24, 52), 60
#: No character, so that every font draws its sign for what it lacks.
_NOTHING = "\U0010ffff"


def patterns(task: str) -> list[str]:
    """Paths of the fonts of a task in their package."""
    return [f"*/NotoS*{script}-*.ttf" for script in SCRIPTS[task]]


def pictures(task: str, folder: Path, most: int) -> Iterator[Picture]:
    """Drawings of a task's letters.

    Parameters
    ----------
    task : str
        One of `SCRIPTS`.
    folder : Path
        Holds the fonts.
    most : int
        Pictures of a script.
    """
    for script in SCRIPTS[task]:
        fonts = {path.name: path for path in sorted(folder.rglob(f"NotoS*{script}-*.ttf"))}
        every = [
            f"{name}/{ord(letter):05X}/{number}"
            for name, path in fonts.items()
            for letter in _in_font(path, letters(script))
            for number in range(_DRAWINGS)
        ]
        for key in drawn(every, most):
            name, code, _ = key.split("/")
            yield Picture(draw(fonts[name], chr(int(code, 16)), key), script, f"U+{code}")


def letters(script: str) -> list[str]:
    """Letters of a script, without forms of other letters."""
    begin = _NAMES.get(script, script.upper()) + " "
    return [letter for letter, name in _all_letters() if name.startswith(begin)]


def draw(path: Path, letter: str, key: str) -> Array:
    """A letter, black on white, at a size and place that follow from `key`."""
    from PIL import Image, ImageDraw

    smallest, largest = _SIZES
    size = smallest + derived_seed(0, "size", key) % (largest - smallest + 1)
    font = _font(path, size)
    left, top, right, bottom = font.getbbox(letter)
    if (longest := max(right - left, bottom - top)) > _WIDEST:
        font = _font(path, int(size * _WIDEST / longest))
        left, top, right, bottom = font.getbbox(letter)
    image = Image.new("RGB", (SIDE, SIDE), "white")
    x = derived_seed(0, "x", key) % int(SIDE - (right - left) + 1)
    y = derived_seed(0, "y", key) % int(SIDE - (bottom - top) + 1)
    ImageDraw.Draw(image).text((x - left, y - top), letter, fill="black", font=font)
    return square(image)


@cache
def _all_letters() -> tuple[tuple[str, str], ...]:
    """With their names, in order of their numbers."""
    every = (chr(code) for code in range(sys.maxunicode + 1))
    return tuple(
        (letter, unicodedata.name(letter, ""))
        for letter in every
        if unicodedata.category(letter) in _LETTERS
        and unicodedata.normalize("NFKC", letter) == letter
    )


def _in_font(path: Path, wanted: Sequence[str]) -> list[str]:
    """Letters that a font has and shows."""
    font = _font(path, _SIZES[0])
    lacking = bytes(font.getmask(_NOTHING))
    masks = {letter: font.getmask(letter) for letter in wanted}
    return [letter for letter, mask in masks.items() if mask.getbbox() and bytes(mask) != lacking]


def _font(path: Path, size: int) -> FreeTypeFont:
    """Without a layout engine, which not every Pillow has."""
    from PIL import ImageFont

    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
