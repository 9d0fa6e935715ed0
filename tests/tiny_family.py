"""The small family that many tests use, as named arrays."""

from __future__ import annotations

import numpy as np

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
