"""Images as people have them: any mode and size, as paths, bytes or what datasets store."""

from __future__ import annotations

import io
import json
import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from task_files import write

from mergecast.errors import UsageError
from mergecast.tasks.load import load_tasks
from mergecast.tasks.pixels import PixelEncoder

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
Image = pytest.importorskip("PIL.Image", reason="needs the hf extra")
logging.getLogger("transformers").setLevel(logging.ERROR)

HEIGHT, WIDTH = 12, 10
MODES = ["RGB", "L", "RGBA", "LA", "P", "1", "CMYK", "I;16", "P-transparent"]


def image_of(mode):
    """A grey ramp from black to white, in one of Pillow's modes."""
    ramp = np.tile(np.linspace(0, 255, WIDTH).round().astype(np.uint8), (HEIGHT, 1))
    grey = Image.fromarray(ramp)
    if mode == "I;16":
        return Image.fromarray(ramp.astype(np.uint16) * 257)
    if mode == "P-transparent":
        image = grey.convert("P")
        image.info["transparency"] = bytes([0, 128] + [255] * 254)
        return image
    return grey.convert(mode)


@pytest.fixture
def folder(tmp_path):
    base = tmp_path / "base"
    transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=8, patch_size=4,
    ).save_pretrained(base)  # fmt: skip
    settings = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": 8, "width": 8},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "resample": 2,
    }
    (base / "preprocessor_config.json").write_text(json.dumps(settings))
    return tmp_path


def task_of(folder, column="image", name="t.parquet"):
    text = f"""\
tasks:
  a:
    model: {{folder: base, auto: AutoModelForImageClassification}}
    data: {{file: {name}, inputs: {{pixel_values: {column}}}, labels: y}}
"""
    return load_tasks(write(folder, text))["a"]


def saved(image):
    buffer = io.BytesIO()
    image.save(buffer, "TIFF" if image.mode == "CMYK" else "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_the_same_ramp(mode, folder):
    encoder = PixelEncoder(folder / "base")
    want = encoder.pixels(folder, [image_of("RGB")], [0])
    got = encoder.pixels(folder, [image_of(mode), saved(image_of(mode))], [0, 1])
    assert got.shape == (2, 3, 8, 8)
    assert want.min() < -0.8
    assert want.max() > 0.8
    # One bit has no greys; a palette of transparent greys is one of all greys.
    tolerance = 1.1 if mode == "1" else 0.02
    torch.testing.assert_close(got, want.expand_as(got), atol=tolerance, rtol=0)


def test_paths_bytes_and_what_datasets_store_are_one(folder):
    kinds = ("RGB", "L", "RGBA", "I;16")
    images = [image_of(mode).resize((9 + n, 20 - n)) for n, mode in enumerate(kinds)]
    (folder / "pictures").mkdir()
    for number, image in enumerate(images):
        (folder / "pictures" / f"{number}.png").write_bytes(saved(image))
    paths = [f"pictures/{number}.png" for number in range(4)]
    content = [saved(image) for image in images]
    columns = {
        "path": paths,
        "content": content,
        "image": [{"bytes": one, "path": None} for one in content],
        "linked": [{"bytes": None, "path": path} for path in paths],
        "y": [0, 1, 0, 1],
    }
    pq.write_table(pa.table(columns), folder / "t.parquet")
    read = [
        task_of(folder, name).samples(4, 0).inputs["pixel_values"]
        for name in columns
        if name != "y"
    ]
    assert read[0].shape == (4, 3, 8, 8)
    assert all(torch.equal(one, read[0]) for one in read)
    task = task_of(folder)
    module = task.build().eval()
    samples = task.samples(4, 0)
    with torch.no_grad():
        assert module(**samples.inputs).logits.shape == (4, 2)
    datasets = pytest.importorskip("datasets", reason="needs the hf extra")
    made = datasets.Dataset.from_dict({"image": columns["image"], "y": columns["y"]})
    made.cast_column("image", datasets.Image()).save_to_disk(folder / "saved")
    assert torch.equal(task_of(folder, name="saved").samples(4, 0).inputs["pixel_values"], read[0])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: "none.png", r"t.parquet row 2: names .*none.png, which does not exist; paths"),
        (lambda f: str(f / "base" / "config.json"), r"row 2: .*config.json: is no readable image"),
        (lambda f: "", r"row 2: holds no image but ''"),
        (lambda f: cut(f), r"row 2: is no image that the processor takes: .*truncated"),
    ],
)
def test_a_bad_image_is_named_by_file_and_row(spoil, message, folder):
    image_of("RGB").save(folder / "good.png")
    paths = ["good.png", "good.png", spoil(folder), "good.png"]
    pq.write_table(pa.table({"image": paths, "y": [0, 1, 0, 1]}), folder / "t.parquet")
    with pytest.raises(UsageError, match=message):
        task_of(folder).samples(None, 0)


def cut(folder):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    whole = saved(Image.fromarray(noise))
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    return "cut.png"


def test_what_has_no_known_range_or_size_is_refused(folder):
    encoder = PixelEncoder(folder / "base")
    with pytest.raises(UsageError, match="row 7: holds floats, of no known range"):
        encoder.pixels(folder, [Image.fromarray(np.ones((4, 4), dtype=np.float32))], [7])
    with pytest.raises(UsageError, match="row 7: holds values up to 70000; store 8 or 16 bits"):
        encoder.pixels(folder, [Image.fromarray(np.full((4, 4), 70000, dtype=np.int32))], [7])
    path = folder / "base" / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_resize": False}))
    images = [image_of("RGB"), image_of("RGB").resize((6, 6))]
    with pytest.raises(
        UsageError, match=r"row 9: is \[3, 6, 6\] once processed, row 4 \[3, 12, 10"
    ):
        PixelEncoder(folder / "base").pixels(folder, images, [4, 9])
    path.unlink()
    with pytest.raises(UsageError, match="image processor .*base: .*data.processor"):
        PixelEncoder(folder / "base")
