"""A metric of weights: how unlike two task vectors are in length."""

from __future__ import annotations

from mergecast.errors import UndefinedError
from mergecast.evidence import metric
from mergecast.evidence.weights.fingerprints import WeightPair


@metric(
    "example_norm_ratio",
    family="task_vector",
    tier="weights",
    symmetric=True,
    range=(0, 1),
    source="an example",
    sets=("example",),
)
def norm_ratio(pair: WeightPair) -> float:
    """The shorter task vector's length over the longer one's."""
    shorter, longer = sorted(pair.norms)
    if longer == 0:
        raise UndefinedError("task vectors", "both models equal the base")
    return shorter / longer
