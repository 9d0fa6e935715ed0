"""Effective rank of the two stacked task vectors, from their 2 × 2 Gram matrix."""

from functools import partial
from math import exp, log, sqrt

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.evidence.metric import metric
from mergecast.evidence.weights.fingerprints import WeightPair
from mergecast.typing import Array

_paper = partial(
    metric,
    family="effective_rank",
    tier="weights",
    symmetric=True,
    source="arXiv 2601.22285, effective rank; Roy and Vetterli 2007, 'The effective rank'",
    sets=("paper",),
)


def stack_singular_values(gram: Array) -> tuple[float, float]:
    """s₁ ≥ s₂ of the 2 × D stack whose Gram matrix is given: roots of its eigenvalues.

    The closed form for 2 × 2 keeps s₂ accurate for nearly parallel rows.
    """
    a, b, c = float(gram[0, 0]), float(gram[1, 1]), float(gram[0, 1])
    half = (a + b) / 2
    spread = sqrt(((a - b) / 2) ** 2 + c**2)
    largest = half + spread
    determinant = max(0.0, a * b - c * c)
    smallest = determinant / largest if largest > 0 else 0.0
    return sqrt(largest), sqrt(smallest)


def effective_rank_of(gram: Array) -> float:
    """exp of the entropy of the normalised singular values, in [1, 2]."""
    values = stack_singular_values(gram)
    total = sum(values)
    shares = [s / total for s in values if s > 0]
    return min(2.0, max(1.0, exp(-sum(p * log(p) for p in shares))))


def _singular_values(pair: WeightPair) -> tuple[float, float]:
    _ = pair.norms
    return stack_singular_values(pair.gram)


@_paper("effective_rank", range=(1, 2))
def effective_rank(pair: WeightPair) -> float:
    """exp(−Σ p log p) with p = s / Σs."""
    _ = pair.norms
    return effective_rank_of(pair.gram)


@_paper("effective_rank_mergeability_score", range=(0, 1))
def effective_rank_mergeability_score(pair: WeightPair) -> float:
    """2 − effective rank, within [0, 1]."""
    return min(1.0, max(0.0, 2 - effective_rank(pair)))


@_paper("stable_rank", range=(1, 2))
def stable_rank(pair: WeightPair) -> float:
    """(Σs)² / Σs²."""
    s = _singular_values(pair)
    return sum(s) ** 2 / (s[0] ** 2 + s[1] ** 2)


@_paper("spectral_gap", range=(0, 1))
def spectral_gap(pair: WeightPair) -> float:
    """(s₁ − s₂) / s₁."""
    s = _singular_values(pair)
    return (s[0] - s[1]) / s[0]


@_paper("singular_value_ratio", range=(0, 1))
def singular_value_ratio(pair: WeightPair) -> float:
    """s₂ / s₁."""
    s = _singular_values(pair)
    return s[1] / s[0]


@_paper("layerwise_effective_rank", range=(1, 2))
def layerwise_effective_rank(pair: WeightPair) -> float:
    """Effective rank per parameter, weighted by the sum of the two norms on it."""
    total = weight = 0.0
    for gram in pair.parameter_grams():
        w = float(np.sqrt(np.diagonal(gram)).sum())
        total += w * effective_rank_of(gram)
        weight += w
    if weight == 0:
        raise UndefinedError("pair", "no parameter that both models changed")
    return total / weight


@_paper("layerwise_effective_rank_mergeability_score", range=(0, 1))
def layerwise_effective_rank_mergeability_score(pair: WeightPair) -> float:
    """2 − layerwise effective rank, within [0, 1]."""
    return min(1.0, max(0.0, 2 - layerwise_effective_rank(pair)))
