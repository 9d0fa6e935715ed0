"""Adapters whose initialisation took a part out of the base: ΔW = s(BA − B₀A₀).

PiSSA (Meng et al. 2024, arXiv 2404.02948) and OLoRA (Büyükakyüz 2024, arXiv 2406.01775) begin
with factors of the weight itself and subtract their product from it, so that the first step
changes nothing. PEFT does that again whenever it loads such an adapter. Both are functions of the
base's weight alone, so what was taken out can be computed; where it cannot, as for factors that
depend on data or on a random sketch, the adapter is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mergecast.checkpoints.lora_config import refuse
from mergecast.typing import Array

#: What PEFT calls an initialisation that leaves the base as it is.
_LEAVES_BASE = frozenset({"true", "false", "none", "gaussian", "eva", "orthogonal", "mica"})
_RECONSTRUCTED = ("pissa", "olora")
_TAKES = "whose initialisation ({}) took a part out of the base that cannot be computed again"


def initialisation(folder: Path, config: dict[str, Any]) -> str:
    """``pissa``, ``olora``, or "" where the base is as it was.

    Raises
    ------
    CheckpointError
        The initialisation changed the base in a way that the adapter's files do not tell.
    """
    kind = str(config.get("init_lora_weights", True)).lower()
    if kind in _LEAVES_BASE:
        return ""
    if kind in _RECONSTRUCTED:
        return kind
    raise refuse(folder, f"an adapter {_TAKES.format(kind)}")


def taken_out(kind: str, weight: Array, rank: int, scaling: float) -> tuple[Array, Array]:
    """Factors of s·B₀A₀, what the initialisation subtracted from a weight.

    Parameters
    ----------
    kind : str
        ``pissa`` or ``olora``.
    weight : array (out, in)
        The base's weight, float32.
    rank : int
        Of the adapter.
    scaling : float
        The adapter's s.

    Returns
    -------
    tuple of array
        Factors (out, rank) and (rank, in), float64, whose product was subtracted.
    """
    matrix = weight.astype(np.float32)
    if kind == "pissa":
        left, values, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
        return left[:, :rank] * values[:rank], right[:rank]
    left, right = np.linalg.qr(matrix.astype(np.float64))
    return scaling * left[:, :rank], right[:rank]
