"""What `bench fetch image-11` leaves, without a network: archives, tiny encoders, pictures."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mergecast.suites.encoders import task
from mergecast.suites.encoders.data import Labelled
from mergecast.suites.image import efficientnet
from mergecast.suites.image.suite import Image
from mergecast.suites.packages import suite_cache

N = 120
_CONTROL = """\
Package: made
Version: 1
Architecture: all
Maintainer: a <a@b.c>
Description: a
"""


def debian(path: Path, files: dict[str, bytes]) -> Path:
    """A Debian package of some files; the test is skipped where none can be built."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    tree = path.parent / f"{path.stem}-tree"
    control = (
        "Package: made\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: a\n"
    )
    write_files(tree, {**files, "DEBIAN/control": control.encode()})
    command = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def npm(path: Path, folder: Path) -> Path:
    """What npm packs: a folder called ``package``."""
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, "package")
    return path


def wheel(path: Path, files: dict[str, Path]) -> Path:
    """Files under their names in the archive."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in files.items():
            archive.write(file, name)
    return path


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def published_efficientnet(path: Path) -> Path:
    """A file of weights as it is published, of random values, with a classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = efficientnet.EfficientNetLite0().state_dict()
    torch.save({**state, "_fc.weight": torch.zeros(7, 1280), "_fc.bias": torch.zeros(7)}, path)
    return path


def tiny_dinov2(folder: Path):
    """A folder of transformers with a vision transformer of one layer."""
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        mlp_ratio=2,
        patch_size=14,
        image_size=42,
        use_mask_token=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Dinov2Model(config).eval()
    model.save_pretrained(folder)
    return model


def coloured(names=("blue", "green", "red"), n=N) -> Labelled:
    """Noise under a tint that is the class."""
    draw = np.random.default_rng(0)
    labels = np.arange(n) % len(names)
    pixels = draw.integers(0, 120, (n, 64, 64, 3), dtype=np.uint8)
    for row, label in enumerate(labels):
        pixels[row, :, :, label] += 100
    return Labelled.of(list(pixels), [names[label] for label in labels])


def fill(cache: Path, tasks=Image.tasks) -> None:
    """A finished cache of the suite under `cache`, which ``$MERGECAST_CACHE`` is."""
    forget()
    folder = suite_cache(Image.name) / "data"
    assert folder.is_relative_to(cache)
    folder.mkdir(parents=True)
    efficientnet.prepare(published_efficientnet(cache / "efficientnet.pth").parent, folder)
    tiny_dinov2(folder / "dinov2-small")
    data = coloured()
    for name in tasks:
        data.save(folder / f"{name}.npz")
    (folder / "manifest.json").write_text(json.dumps(Image()._identity()))


def forget() -> None:
    """What the process remembers of another cache."""
    task._whole.cache_clear()
    task._inputs.cache_clear()
