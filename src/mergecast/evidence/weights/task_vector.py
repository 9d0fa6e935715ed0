"""Direction and size of two task vectors."""

from functools import partial
from math import acos, degrees, inf

from mergecast.evidence.metric import metric
from mergecast.evidence.weights.fingerprints import WeightPair

_paper = partial(
    metric,
    family="task_vector",
    tier="weights",
    symmetric=True,
    source="arXiv 2601.22285, task-vector geometry",
    sets=("paper",),
)


@_paper("task_vector_cosine_similarity", range=(-1, 1))
def task_vector_cosine_similarity(pair: WeightPair) -> float:
    """⟨τᵢ, τⱼ⟩ / (‖τᵢ‖ ‖τⱼ‖)."""
    return pair.cosine


@_paper("task_vector_l2_distance", range=(0, inf))
def task_vector_l2_distance(pair: WeightPair) -> float:
    """‖τᵢ - τⱼ‖."""
    _ = pair.norms
    return pair.distance


@_paper("task_vector_dot_product", range=(-inf, inf))
def task_vector_dot_product(pair: WeightPair) -> float:
    """⟨τᵢ, τⱼ⟩; a zero task vector has no direction to compare."""
    _ = pair.norms
    return pair.dot


@_paper("weight_space_angle", range=(0, 180))
def weight_space_angle(pair: WeightPair) -> float:
    """The angle between the two task vectors, in degrees."""
    return degrees(acos(pair.cosine))


@_paper("task_vector_magnitude_ratio", range=(0, 1))
def task_vector_magnitude_ratio(pair: WeightPair) -> float:
    """The smaller of the two norms over the larger."""
    return pair.magnitude_ratio


@metric(
    "task_vector_norm_share",
    family="task_vector",
    tier="weights",
    symmetric=False,
    range=(0, 1),
    source="mergecast: the one weights-only number that tells the two members of a pair apart",
)
def task_vector_norm_share(pair: WeightPair) -> float:
    """‖τᵢ‖ / (‖τᵢ‖ + ‖τⱼ‖): the first model's part of the pair's length."""
    return pair.norms[0] / sum(pair.norms)
