"""Where in depth two task vectors lie apart, from what the weights tier holds anyway."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from mergecast.evidence.vectors import NEGLIGIBLE
from mergecast.evidence.weights.fingerprints import WeightFingerprints
from mergecast.family.depth import layers_of

if TYPE_CHECKING:
    import pandas as pd

#: Columns of `depth_table`.
DEPTH_COLUMNS = ["left", "right", "layer", "apart", "cosine", "left_share", "right_share"]


def depth_table(weights: WeightFingerprints, members: Sequence[str] | None = None) -> pd.DataFrame:
    """Every pair's task vectors by layer.

    A description of the weights: on models whose layers were merged one at a time, neither number
    said which layer a merge does harm in (`benchmarks/layers.py`).

    Parameters
    ----------
    weights : WeightFingerprints
        Of the family; nothing more is read.
    members : sequence of str, optional
        Some of its models; all by default.

    Returns
    -------
    DataFrame
        One row a pair and layer, from the input on: `apart`, the layer's part of ‖τᵢ - τⱼ‖²;
        `cosine` of the two task vectors in the layer, NaN where one of them is zero; `left_share`
        and `right_share`, the layer's part of ‖τ‖². Parts of nothing are NaN.
    """
    import pandas as pd

    names = sorted(weights.members if members is None else members)
    at = [weights.members.index(name) for name in names]
    grams = {
        layer: np.sum([weights.grams[name] for name in inside], axis=0)[np.ix_(at, at)]
        for layer, inside in layers_of(list(weights.grams)).items()
    }
    total = np.sum(list(grams.values()), axis=0)
    rows = []
    for i, j in combinations(range(len(names)), 2):
        for layer, gram in grams.items():
            lengths = np.sqrt(gram[[i, j], [i, j]])
            turned = lengths.min() >= NEGLIGIBLE
            rows.append(
                {
                    "left": names[i],
                    "right": names[j],
                    "layer": layer,
                    "apart": _part(_distance(gram, i, j), _distance(total, i, j)),
                    "cosine": np.clip(gram[i, j] / lengths.prod(), -1, 1) if turned else np.nan,
                    "left_share": _part(gram[i, i], total[i, i]),
                    "right_share": _part(gram[j, j], total[j, j]),
                }
            )
    return pd.DataFrame(rows, columns=DEPTH_COLUMNS)


def _distance(gram: np.ndarray, i: int, j: int) -> float:
    """‖τᵢ - τⱼ‖², at least 0."""
    return max(float(gram[i, i] + gram[j, j] - 2 * gram[i, j]), 0.0)


def _part(value: float, whole: float) -> float:
    return float(value / whole) if whole >= NEGLIGIBLE**2 else np.nan
