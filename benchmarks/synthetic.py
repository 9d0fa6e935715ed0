"""Synthetic ViT-B/16 checkpoints for the benchmarks: 86 M float32 parameters each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mergecast.checkpoints.checkpoint import TensorInfo
from mergecast.checkpoints.writer import SafetensorsWriter

WIDTH, DEPTH, HIDDEN, TOKENS = 768, 12, 3072, 197
_F32 = np.dtype(np.float32)


def vit_b16_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of a ViT-B/16 encoder as transformers lays it out."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.class_embedding": (WIDTH,),
        "embeddings.patch_embedding.weight": (WIDTH, 3, 16, 16),
        "embeddings.position_embedding.weight": (TOKENS, WIDTH),
        "post_layernorm.weight": (WIDTH,),
        "post_layernorm.bias": (WIDTH,),
    }
    for layer in range(DEPTH):
        prefix = f"encoder.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{prefix}.self_attn.{name}.weight"] = (WIDTH, WIDTH)
            shapes[f"{prefix}.self_attn.{name}.bias"] = (WIDTH,)
        shapes[f"{prefix}.mlp.fc1.weight"] = (HIDDEN, WIDTH)
        shapes[f"{prefix}.mlp.fc1.bias"] = (HIDDEN,)
        shapes[f"{prefix}.mlp.fc2.weight"] = (WIDTH, HIDDEN)
        shapes[f"{prefix}.mlp.fc2.bias"] = (WIDTH,)
        for norm in ("layer_norm1", "layer_norm2"):
            shapes[f"{prefix}.{norm}.weight"] = (WIDTH,)
            shapes[f"{prefix}.{norm}.bias"] = (WIDTH,)
    return shapes


def write_family(folder: Path, count: int) -> tuple[Path, list[Path]]:
    """A base and `count` models: base plus a low-rank update plus full-rank noise per matrix.

    Files that exist with the right size are kept, so that a second benchmark starts at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "base.safetensors", *(folder / f"m{i:02}.safetensors" for i in range(count))]
    for index, path in enumerate(paths):
        if not path.exists():
            _write(path, index)
    return paths[0], paths[1:]


def _write(path: Path, index: int) -> None:
    shapes = vit_b16_shapes()
    infos = [TensorInfo(name, shape, _F32) for name, shape in shapes.items()]
    with SafetensorsWriter(path, infos) as writer:
        for number, (name, shape) in enumerate(shapes.items()):
            values = np.random.default_rng([0, number]).standard_normal(shape, dtype=np.float32)
            values *= 0.02
            if index:
                rng = np.random.default_rng([index, number])
                values += 5e-4 * rng.standard_normal(shape, dtype=np.float32)
                if len(shape) == 2:
                    left = rng.standard_normal((shape[0], 16), dtype=np.float32)
                    right = rng.standard_normal((16, shape[1]), dtype=np.float32)
                    values += 2e-4 * left @ right
            writer.write(name, values)
