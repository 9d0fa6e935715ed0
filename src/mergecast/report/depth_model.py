"""Task vectors of pairs by layer, as plain data: the key `layers` of a forecast's JSON."""

from __future__ import annotations

from typing import TypedDict

Number = float | None


class LayerRow(TypedDict):
    """A layer of a pair, from the input on.

    `apart` is its part of ‖τᵢ - τⱼ‖², `cosine` that of the task vectors in it, the shares its parts
    of ‖τ‖²; None where undefined.
    """

    layer: str
    apart: Number
    cosine: Number
    left_share: Number
    right_share: Number


class PairLayers(TypedDict):
    """A pair's task vectors by layer."""

    left: str
    right: str
    layers: list[LayerRow]
