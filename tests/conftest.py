"""Fixtures shared by all rooms: a small family on disk, and the reference data if present."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mergecast.checkpoints.writer import write_safetensors

REFERENCE = Path(__file__).parents[1].parent / "shared" / "reference"

SHAPES: dict[str, tuple[int, ...]] = {
    "conv.weight": (6, 3, 2, 2),
    "embed.weight": (30, 12),
    "layer.bias": (12,),
    "layer.weight": (12, 40),
    "scale": (),
}


def arrays(seed: int, size: float = 0.05, dtype: str = "float32") -> dict[str, np.ndarray]:
    """A base (seed 0) or a fine-tune of it, as named arrays."""
    base_rng, rng = np.random.default_rng(0), np.random.default_rng([1, seed])
    tensors: dict[str, np.ndarray] = {}
    for name, shape in SHAPES.items():
        value = base_rng.standard_normal(shape)
        if seed:
            value = value + size * rng.standard_normal(shape)
        tensors[name] = np.asarray(value, dtype=dtype)
    tensors["position_ids"] = np.arange(7)
    return tensors


@pytest.fixture
def family_paths(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A base and three fine-tunes, each with a head of its own, as safetensors files."""
    base = tmp_path / "base.safetensors"
    write_safetensors(base, arrays(0))
    models = []
    for seed, label in enumerate("abc", start=1):
        tensors = arrays(seed)
        tensors["head.weight"] = np.ones((seed + 1, 12), dtype=np.float32)
        path = tmp_path / f"{label}.safetensors"
        write_safetensors(path, tensors)
        models.append(path)
    return base, models


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of parity data; skips where it is not there."""
    if not REFERENCE.is_dir():
        pytest.skip("no reference data beside the repository (../shared/reference)")
    return REFERENCE


@pytest.fixture(scope="session")
def probe_family(tmp_path_factory):
    """Kind of architecture to its tiny family, built once a session; read only."""
    from probe_families import Built, family

    built: dict[str, Built] = {}

    def get(kind: str) -> Built:
        if kind not in built:
            built[kind] = family(kind, tmp_path_factory.mktemp(kind))
        return built[kind]

    return get
